"""What people look at: an HTML report, captions. Typed values in, text out; measures nothing."""
