//! libssh2's error codes, sorted by what they mean for the connection.

use ssh2::{Error, ErrorCode};

pub(super) const TIMEOUT: i32 = -9;
pub(super) const AUTHENTICATION_FAILED: i32 = -18;
pub(super) const PUBLICKEY_UNVERIFIED: i32 = -19;
/// The server would not open the channel.
pub(super) const CHANNEL_FAILURE: i32 = -21;
const EAGAIN: i32 = -37;
const SOCKET_DISCONNECT: i32 = -13;

/// The call has to be repeated, unchanged, when the socket moves.
pub(super) fn again(e: &Error) -> bool {
    e.code() == ErrorCode::Session(EAGAIN)
}

/// libssh2 has waited long enough for an answer.
pub(super) fn timed_out(e: &Error) -> bool {
    e.code() == ErrorCode::Session(TIMEOUT)
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

const CLOSED: &str = "the server closed the connection";
const BROKE_RECEIVING: &str = "the connection broke while receiving";
const BROKE_SENDING: &str = "the connection broke while sending";

/// Whether a [`reason`] is that the server hung up.
pub(super) fn hung_up(reason: &str) -> bool {
    [CLOSED, BROKE_RECEIVING, BROKE_SENDING].contains(&reason)
}

/// Why a connection ended, in words.
pub(super) fn reason(e: &Error) -> String {
    match e.code() {
        // libssh2 has one code for "the server said goodbye" and for a closed socket
        ErrorCode::Session(SOCKET_DISCONNECT | -1) => CLOSED.to_owned(),
        ErrorCode::Session(-43) => BROKE_RECEIVING.to_owned(),
        ErrorCode::Session(-7) => BROKE_SENDING.to_owned(),
        _ => e.message().to_owned(),
    }
}
