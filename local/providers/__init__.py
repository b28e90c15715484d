"""The other side of every channel: what Twilio, SendGrid, SES and a customer's system would do."""
