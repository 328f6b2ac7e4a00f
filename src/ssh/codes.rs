//! libssh2's error codes, sorted by what they mean for the connection.

use ssh2::{Error, ErrorCode};

pub(super) const TIMEOUT: i32 = -9;
pub(super) const AUTHENTICATION_FAILED: i32 = -18;
pub(super) const PUBLICKEY_UNVERIFIED: i32 = -19;
const EAGAIN: i32 = -37;
const SOCKET_DISCONNECT: i32 = -13;

/// The call has to be repeated, unchanged, when the socket moves.
pub(super) fn again(e: &Error) -> bool {
    e.code() == ErrorCode::Session(EAGAIN)
}

/// The error concerns one channel (out of order, failure, denied, unknown, window, packet, closed, EOF sent, request
/// denied, window full). Everything that is neither this nor [`again`] leaves the connection in doubt and so ends it.
pub(super) fn channel_only(e: &Error) -> bool {
    matches!(e.code(), ErrorCode::Session(-27..=-20 | -32 | -47))
}

/// Logging in cannot go on: no socket any more, a garbled stream, or no time left.
pub(super) fn ends_login(e: &Error) -> bool {
    // none, MAC, send, timeout, decrypt, disconnect, receive, bad socket, MAC
    matches!(
        e.code(),
        ErrorCode::Session(-1 | -4 | -7 | TIMEOUT | -12 | SOCKET_DISCONNECT | -43 | -45 | -52)
    )
}

/// Why a connection ended, in words.
pub(super) fn reason(e: &Error) -> String {
    match e.code() {
        // libssh2 has one code for "the server said goodbye" and for a closed socket
        ErrorCode::Session(SOCKET_DISCONNECT | -1) => "the server closed the connection".to_owned(),
        ErrorCode::Session(-43) => "the connection broke while receiving".to_owned(),
        ErrorCode::Session(-7) => "the connection broke while sending".to_owned(),
        _ => e.message().to_owned(),
    }
}
