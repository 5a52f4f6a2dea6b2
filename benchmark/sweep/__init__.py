"""Many runs from one plan: what they are, what they will cost, and one after the other to the end."""
