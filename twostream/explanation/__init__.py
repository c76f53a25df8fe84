"""What in a clip speaks for a class: maps over frames and over flow."""
