"""The schema, its roles and its sample data.

`bootstrap` makes roles and extensions, the revisions in `versions/` make everything else. A
revision says whether it runs before or after the deploy of the code (`phase`). `schema.sql` is the
checked-in result.
"""
