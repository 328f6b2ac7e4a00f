//! bollard over an SSH channel.
