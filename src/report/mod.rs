//! Rooms 5 and 6: events and facts, made visible.
