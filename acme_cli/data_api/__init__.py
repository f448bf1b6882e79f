"""The client of the data API."""
