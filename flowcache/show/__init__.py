"""Flow as colour, beside its frame, as pictures and videos."""
