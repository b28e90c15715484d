"""The other side of every channel: what Twilio and a customer's own system would answer."""
