"""What a piece of the user's code says, free of layout, and what it refers to."""
