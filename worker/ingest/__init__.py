"""How images arrive: object-store events, by queue or by webhook, and the bucket sweep."""
