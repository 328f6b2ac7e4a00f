//! What kinds of host keys a server offers, which libssh2 does not tell: asked when it could not agree on one.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Lines that a server may say before its version (RFC 4253, 4.2).
const GREETING: usize = 50;
/// A packet of name lists is about two kilobytes long; RFC 4253 has none longer than this.
const LONGEST: usize = 35_000;
/// `SSH_MSG_KEXINIT`
const KEXINIT: u8 = 20;

/// Host key algorithms in the order of the server's preference, from the first packet that it sends. The connection is
/// of no use afterwards.
pub(super) async fn host_keys(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<Vec<String>> {
    io.write_all(b"SSH-2.0-cephdock\r\n").await?;
    let mut io = BufReader::new(io).take(LONGEST as u64 * 2);
    for _ in 0..GREETING {
        let mut line = Vec::new();
        io.read_until(b'\n', &mut line).await?;
        if line.starts_with(b"SSH-") {
            let length = usize::try_from(io.read_u32().await?).unwrap_or(LONGEST);
            let mut packet = vec![0; length.min(LONGEST)];
            io.read_exact(&mut packet).await?;
            return parse(&packet).ok_or_else(|| io::Error::other("no key exchange"));
        }
    }
    Err(io::Error::other("no SSH"))
}

/// A packet without its length: padding, number, cookie, key exchange algorithms, host key algorithms.
fn parse(packet: &[u8]) -> Option<Vec<String>> {
    let (_padding, rest) = packet.split_first()?;
    let (number, rest) = rest.split_first()?;
    let rest = rest.get(16..).filter(|_| *number == KEXINIT)?;
    let (_key_exchange, rest) = names(rest)?;
    let (host_keys, _) = names(rest)?;
    let text = std::str::from_utf8(host_keys).ok()?;
    Some(text.split(',').map(str::to_owned).collect())
}

fn names(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Whether all of them are certificates.
pub(super) fn certificates_only(offered: &[String]) -> bool {
    let mut real =
        offered.iter().filter(|a| !a.starts_with("ext-info") && !a.contains("strict")).peekable();
    real.peek().is_some() && real.all(|a| a.contains("-cert-v"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn certificates_are_told_from_keys() {
        let names = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let cert = "ssh-ed25519-cert-v01@openssh.com";
        assert!(certificates_only(&names(cert)));
        assert!(!certificates_only(&names(&format!("{cert},ssh-ed25519"))));
        assert!(!certificates_only(&[]));
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(packet in prop::collection::vec(any::<u8>(), 0..200)) {
            let _names = parse(&packet);
            let _after = parse(&[&[4, KEXINIT], &[0; 16][..], &packet].concat());
        }
    }
}
