//! Single values of `ssh:`: text to what it means, or what is wrong with it and what to write instead.

use std::net::Ipv6Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::problem::quoted;
use super::values::{Wrong, printable, word};
use super::{HostKeyPolicy, Jump};

/// `strict` or `accept-new`.
pub(super) fn host_key(text: &str) -> Result<HostKeyPolicy, Wrong> {
    if ["no", "off", "false", "ask"].contains(&text.to_lowercase().as_str()) {
        return Err(Wrong::new(
            "host keys are always checked",
            "write `strict`, or `accept-new` to trust a host the first time it is seen",
        ));
    }
    word(text, &["strict", "accept-new"]).map(|w| match w {
        "strict" => HostKeyPolicy::Strict,
        _ => HostKeyPolicy::AcceptNew,
    })
}

/// A TCP port.
pub(super) fn port(text: &str) -> Result<u16, Wrong> {
    match text.parse::<u16>() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Wrong::new(
            format!("{} is not a port", quoted(text)),
            "write a number from 1 to 65535; SSH's own is 22",
        )),
    }
}

/// A login.
pub(super) fn user(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.starts_with('-') || !printable(text) || text.contains(':') {
        return Err(Wrong::new("this is not a user's name", "write a login, for example `root`"));
    }
    Ok(text.to_owned())
}

/// A name or address to connect to. IPv6 with or without brackets.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    const EXAMPLE: &str =
        "write a name or an address, for example `b1.example.org` or `10.32.3.147`";
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if inner.is_empty() || inner.starts_with('-') || !printable(inner) || inner.contains('/') {
        return Err(Wrong::new("this is not a host", EXAMPLE));
    }
    if inner.contains('@') {
        return Err(Wrong::new("the user is a field of its own", "put it under `ssh:` as `user`"));
    }
    let v6 = inner.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    if inner.contains([':', '[', ']']) && !v6 {
        let fix = match inner.rsplit_once(':') {
            Some((host, digits)) if port(digits).is_ok() && !host.contains([':', '[']) => {
                format!("write {}, and `port: {digits}` beside it", quoted(host))
            }
            _ => EXAMPLE.to_owned(),
        };
        return Err(Wrong::new("this is not a host", fix));
    }
    Ok(inner.to_owned())
}

/// The way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// Without a bastion.
    Direct,
    /// By way of these, in order.
    Through(Vec<Jump>),
}

impl Route {
    /// The bastions.
    pub(super) fn jumps(self) -> Vec<Jump> {
        match self {
            Self::Direct => Vec::new(),
            Self::Through(jumps) => jumps,
        }
    }
}

/// `[user@]host[:port]`, several with commas between them, or `none` (OpenSSH's word) for no bastion in spite of the
/// default.
pub(super) fn jump(text: &str) -> Result<Route, Wrong> {
    if text == "none" {
        return Ok(Route::Direct);
    }
    text.split(',').map(|one| one_jump(one.trim())).collect::<Result<_, _>>().map(Route::Through)
}

/// One `[user@]host[:port]`.
pub(super) fn one_jump(text: &str) -> Result<Jump, Wrong> {
    const FORM: &str = "write `host`, `user@host:port` or `user@[fd00::1]:port`, commas between several; `none` for no \
         bastion";
    let wrong = |message: &str| Wrong::new(message, FORM);
    let (login, rest) = match text.rsplit_once('@') {
        Some((login, rest)) => (Some(login), rest),
        None => (None, text),
    };
    let login = login.map(user).transpose().map_err(|w| wrong(&w.message))?;
    let bracketed = rest.strip_prefix('[').and_then(|r| r.split_once(']'));
    let (name, digits) = match bracketed {
        Some((name, "")) => (name, None),
        Some((name, tail)) => match tail.strip_prefix(':') {
            Some(digits) => (name, Some(digits)),
            None => return Err(wrong("this is not a bastion")),
        },
        // more than one colon and no brackets: an IPv6 address, so no port
        None if rest.matches(':').count() == 1 => {
            let (name, digits) = rest.split_once(':').unwrap_or((rest, ""));
            (name, Some(digits))
        }
        None => (rest, None),
    };
    let host = host(name).map_err(|_| wrong("this is not a bastion"))?;
    let port = digits.map(port).transpose().map_err(|w| wrong(&w.message))?;
    Ok(Jump { user: login, host, port })
}

/// A host key's fingerprint as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(text: &str) -> Result<String, Wrong> {
    let form = "write `SHA256:` and 43 characters, as `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` prints it on \
                the node";
    let Some(hash) = text.strip_prefix("SHA256:") else {
        return Err(Wrong::new("this is not a SHA256 fingerprint", form));
    };
    if let Some(bare) = hash.strip_suffix('=') {
        return Err(Wrong::new(
            "a fingerprint has no `=` at its end",
            format!("write `SHA256:{bare}`"),
        ));
    }
    match STANDARD_NO_PAD.decode(hash) {
        Ok(bytes) if bytes.len() == 32 => Ok(text.to_owned()),
        _ => Err(Wrong::new("this is not a SHA256 fingerprint", form)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_have_an_optional_user_and_port() {
        let jump = |t| one_jump(t).ok().map(|j| (j.user, j.host, j.port));
        let ops = || Some("ops".to_owned());
        assert_eq!(jump("ops@bastion:2222"), Some((ops(), "bastion".into(), Some(2222))));
        assert_eq!(jump("bastion"), Some((None, "bastion".into(), None)));
        assert_eq!(jump("fd00::1"), Some((None, "fd00::1".into(), None)));
        assert_eq!(jump("ops@[fd00::1]:2222"), Some((ops(), "fd00::1".into(), Some(2222))));
        assert_eq!(jump("[fe80::1%eth0]"), Some((None, "fe80::1%eth0".into(), None)));
        for bad in ["", "@h", "-oX@h", "-h", "h:", "h:0", "h:x", "[::1", "[::1]22", "a b", "u:p@h"]
        {
            assert_eq!(jump(bad), None, "{bad}");
        }
        let several = super::jump("ops@one:2222, two").map(Route::jumps).unwrap_or_default();
        assert_eq!(several.iter().map(|j| j.host.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(super::jump("none"), Ok(Route::Direct));
        assert!(super::jump("one,").is_err());
    }

    #[test]
    fn a_fingerprint_is_32_bytes() {
        let good = format!("SHA256:{}A", "x".repeat(42));
        assert_eq!(fingerprint(&good), Ok(good.clone()));
        assert!(fingerprint(&format!("{good}=")).is_err());
        assert!(fingerprint(&format!("SHA256:{}", "x".repeat(42))).is_err());
        assert!(fingerprint("MD5:00:11").is_err());
    }
}
