"""What goes over the wire, in the README's words."""
