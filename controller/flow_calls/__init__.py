"""What each call of the Flow-API does, one module per group."""
