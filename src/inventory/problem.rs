//! What is wrong with an inventory, and where.
