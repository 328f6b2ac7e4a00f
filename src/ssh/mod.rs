//! One SSH connection to a node, and channels on it.
