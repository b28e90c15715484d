"""Fetching documents from the web: a page, a site by its links, what a sitemap lists; and again.

It must not know how a document is read and indexed: it hands over bytes and their content type.
"""
