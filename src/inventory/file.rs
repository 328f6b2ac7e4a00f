//! YAML text to [`super::Inventory`].
