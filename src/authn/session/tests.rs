//! What a worker makes of session cookies, over a real database.
