"""What people say of hits: thumbs that the work folder keeps, and the grades they come to."""
