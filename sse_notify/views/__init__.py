"""The views, named after what they answer."""
