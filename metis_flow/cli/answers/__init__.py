"""Commands about those who answer: logins, models, endpoints."""
