"""Tables of results, from tidy records to text."""
