//! Logging in: agent, key files and their certificates, then a password, in OpenSSH's order.

use std::path::{Path, PathBuf};

use ssh2::{ErrorCode, KeyboardInteractivePrompt};

use super::certificate;
use super::clock::Clock;
use super::keyfile::{self, KeyFile, KeyFileError};
use super::prompt::Prompt;
use super::{LocalSsh, SshError, codes};
use crate::inventory::Ssh;

/// Keys shown to the server at most: sshd hangs up after six failures (`MaxAuthTries`), and a password wants one.
const MAX_KEYS: usize = 5;
/// Of those, what the agent may use up where key files are to follow; a key with a certificate takes two.
const MAX_AGENT_KEYS: usize = 4;
/// How often a passphrase or a password may be mistyped.
const QUESTIONS: usize = 3;

/// What a login works with.
pub(super) struct Login<'a> {
    pub(super) session: &'a ssh2::Session,
    pub(super) settings: &'a Ssh,
    pub(super) local: &'a LocalSsh,
    pub(super) prompt: &'a dyn Prompt,
    pub(super) clock: &'a Clock,
    /// What was tried and how it ended, for the error.
    tried: Vec<String>,
    remedy: Option<String>,
    /// Public keys the server has been shown.
    shown: Vec<Vec<u8>>,
}

/// One way in.
enum Outcome {
    In,
    No,
}
use Outcome::{In, No};

/// Logs in, or says everything that was tried.
pub(super) fn authenticate(
    session: &ssh2::Session,
    settings: &Ssh,
    local: &LocalSsh,
    prompt: &dyn Prompt,
    clock: &Clock,
) -> Result<(), SshError> {
    clock.doing("logging in");
    let mut login = Login {
        session,
        settings,
        local,
        prompt,
        clock,
        tried: Vec::new(),
        remedy: None,
        shown: Vec::new(),
    };
    login.arm();
    let offered = match session.auth_methods(&settings.user) {
        Ok(methods) => methods.to_owned(),
        Err(_) if session.authenticated() => return Ok(()),
        Err(e) => return Err(login.ended(&e)),
    };
    if session.authenticated() {
        return Ok(());
    }
    let offers = |method: &str| offered.split(',').any(|m| m == method);
    if offers("publickey") && (matches!(login.agent()?, In) || matches!(login.key_files()?, In)) {
        return Ok(());
    }
    if offers("password") {
        if matches!(login.password()?, In) {
            return Ok(());
        }
    } else if offers("keyboard-interactive") && matches!(login.keyboard_interactive()?, In) {
        return Ok(());
    }
    login.certificates_left();
    login.tried.push(format!("the server takes {}", offered.replace(',', ", ")));
    Err(login.failed())
}

impl Login<'_> {
    /// Gives the next call what is left of the deadline.
    fn arm(&self) {
        self.session.set_timeout(self.clock.left_ms());
    }

    /// The question for a passphrase found nobody to answer it.
    fn nobody(&mut self) {
        self.remedy = Some("run it on a terminal, or load the key with `ssh-add` first".into());
    }

    fn failed(&mut self) -> SshError {
        SshError::Auth {
            user: self.settings.user.clone(),
            to: super::client::address(self.settings),
            tried: std::mem::take(&mut self.tried),
            remedy: self.remedy.take(),
        }
    }

    /// The connection ended in the middle of logging in.
    fn ended(&mut self, e: &ssh2::Error) -> SshError {
        if e.code() == ErrorCode::Session(codes::TIMEOUT) {
            return self.clock.timeout();
        }
        if self.clock.was_asked() {
            // sshd's LoginGraceTime ran out while somebody was typing: worth another connection
            return SshError::Lost { why: codes::reason(e) };
        }
        self.tried.push(format!("{} after {} keys", codes::reason(e), self.shown.len()));
        self.failed()
    }

    /// Sorts out an attempt: in, refused (the next way may do), or the end of the connection.
    fn outcome(
        &mut self,
        what: &str,
        result: Result<(), ssh2::Error>,
    ) -> Result<Outcome, SshError> {
        match result {
            Ok(()) if self.session.authenticated() => Ok(In),
            Ok(()) => {
                self.tried.push(format!("{what}: accepted, but the server wants more"));
                Ok(No)
            }
            Err(e) if codes::ends_login(&e) => Err(self.ended(&e)),
            Err(e) => {
                let why = if refused(&e) { "refused by the server" } else { e.message() };
                self.tried.push(format!("{what}: {why}"));
                Ok(No)
            }
        }
    }

    fn agent(&mut self) -> Result<Outcome, SshError> {
        let Some(socket) = &self.local.agent_socket else {
            self.tried.push("agent: none (SSH_AUTH_SOCK is not set)".into());
            return Ok(No);
        };
        let list = || -> Result<_, ssh2::Error> {
            let mut agent = self.session.agent()?;
            agent.set_identity_path(socket)?;
            agent.connect()?;
            agent.list_identities()?;
            let keys = agent.identities()?;
            Ok((agent, keys))
        };
        let (agent, mut keys) = match list() {
            Ok(found) => found,
            Err(e) => {
                self.tried.push(format!("agent: {}", e.message()));
                return Ok(No);
            }
        };
        // the key the inventory names goes first, so that a full agent cannot use up the attempts
        let named = self.settings.identity_files.iter();
        let mut wanted: Vec<Vec<u8>> =
            named.filter_map(|p| keyfile::look(p).ok()?.public).collect();
        let certified = self.settings.certificates.iter().cloned();
        let certified =
            certified.chain(self.settings.identity_files.iter().map(|p| certificate::beside(p)));
        wanted.extend(certified.filter_map(|c| certificate::read(&c).ok()));
        keys.sort_by_key(|k| !wanted.iter().any(|w| w == k.blob()));
        if self.settings.identities_only {
            keys.retain(|k| wanted.iter().any(|w| w == k.blob()));
        }
        let files = self.key_paths();
        let certified = !self.settings.certificates.is_empty()
            || files.iter().any(|path| certificate::beside(path).exists());
        let cap = match (files.is_empty(), certified) {
            (true, _) => MAX_KEYS,
            (false, false) => MAX_AGENT_KEYS,
            (false, true) => MAX_AGENT_KEYS - 1,
        };
        if keys.is_empty() {
            self.tried.push("agent: holds no key".into());
        }
        for (i, key) in keys.iter().enumerate() {
            if i == cap {
                self.tried.push(format!("agent: {} more keys not tried", keys.len() - cap));
                break;
            }
            self.arm();
            self.shown.push(key.blob().to_vec());
            let result = agent.userauth(&self.settings.user, key);
            if let In = self.outcome(&format!("agent key {}", key.comment()), result)? {
                return Ok(In);
            }
        }
        Ok(No)
    }

    /// The key files that are named; without any, those of the usual ones that exist.
    fn key_paths(&self) -> Vec<PathBuf> {
        if !self.settings.identity_files.is_empty() {
            return self.settings.identity_files.clone();
        }
        let Some(dir) = &self.local.ssh_dir else { return Vec::new() };
        ["id_ed25519", "id_ecdsa", "id_rsa"]
            .iter()
            .map(|n| dir.join(n))
            .filter(|p| p.exists())
            .collect()
    }

    fn key_files(&mut self) -> Result<Outcome, SshError> {
        for path in self.key_paths() {
            let what = format!("key {}", path.display());
            let key = match keyfile::look(&path) {
                Ok(key) => key,
                Err(e) => {
                    if let KeyFileError::Exposed { .. } = e {
                        self.remedy = Some(format!("`chmod 600 {}`", path.display()));
                    }
                    self.tried.push(format!("{what}: {e}"));
                    continue;
                }
            };
            for (file, blob) in certificate::of(&self.settings.certificates, &path, &key) {
                let what = format!("certificate {}", file.display());
                if self.is_new(&what, Some(&blob))
                    && matches!(self.key_file(&what, &path, &key, Some(&file))?, In)
                {
                    return Ok(In);
                }
            }
            if self.is_new(&what, key.public.as_ref())
                && matches!(self.key_file(&what, &path, &key, None)?, In)
            {
                return Ok(In);
            }
        }
        Ok(No)
    }

    /// Says of certificates that the configuration names and that were not shown to the server why not.
    fn certificates_left(&mut self) {
        for file in &self.settings.certificates {
            let why = match certificate::read(file) {
                Ok(blob) if self.shown.contains(&blob) => continue,
                Ok(_) => "not tried, no key file is its own; where the agent alone holds its key, it needs the certificate too \
                          (`ssh-add` takes both)"
                    .to_owned(),
                Err(e) => e.to_string(),
            };
            self.tried.push(format!("certificate {}: {why}", file.display()));
        }
    }

    /// Whether a key or certificate may be shown to the server, which is noted.
    fn is_new(&mut self, what: &str, public: Option<&Vec<u8>>) -> bool {
        if public.is_some_and(|p| self.shown.contains(p)) {
            self.tried.push(format!("{what}: the agent tried it already"));
            return false;
        }
        if self.shown.len() >= MAX_KEYS {
            self.tried.push(format!("{what}: not tried, the server would hang up"));
            return false;
        }
        self.shown.push(public.cloned().unwrap_or_default());
        true
    }

    fn key_file(
        &mut self,
        what: &str,
        path: &Path,
        key: &KeyFile,
        certificate: Option<&Path>,
    ) -> Result<Outcome, SshError> {
        let (session, user) = (self.session, self.settings.user.as_str());
        if !key.encrypted {
            self.arm();
            let result = session.userauth_pubkey_file(user, certificate, path, None);
            return self.outcome(what, result);
        }
        for attempt in 1..=QUESTIONS {
            let Some(passphrase) = self.ask(&format!("Passphrase for {}", path.display()), attempt)
            else {
                self.nobody();
                self.tried
                    .push(format!("{what}: it needs a passphrase and there is nobody to ask"));
                return Ok(No);
            };
            self.arm();
            let passphrase = Some(passphrase.expose());
            let result = session.userauth_pubkey_file(user, certificate, path, passphrase);
            match result {
                // neither the server's refusal nor the connection's end: the key could not be opened
                Err(e) if !refused(&e) && !codes::ends_login(&e) => {}
                other => return self.outcome(what, other),
            }
        }
        self.tried.push(format!("{what}: wrong passphrase"));
        Ok(No)
    }

    fn ask(&self, question: &str, attempt: usize) -> Option<crate::secret::Secret> {
        // the attempt is part of the question: a remembered wrong answer must not answer it
        let question = match attempt {
            1 => format!("{question}: "),
            n => format!("{question} (wrong, attempt {n} of {QUESTIONS}): "),
        };
        self.clock.while_asking(|| self.prompt.secret(&question))
    }

    fn password(&mut self) -> Result<Outcome, SshError> {
        let user = self.settings.user.clone();
        let question = format!("Password for {user}@{}", super::client::address(self.settings));
        for attempt in 1..=QUESTIONS {
            let Some(password) = self.ask(&question, attempt) else {
                // most servers offer passwords: where a key was meant, the key is what to look at
                self.tried.push("password: nobody to ask".into());
                return Ok(No);
            };
            self.arm();
            let result = self.session.userauth_password(&user, password.expose());
            if let In = self.outcome("password", result)? {
                return Ok(In);
            }
        }
        Ok(No)
    }

    fn keyboard_interactive(&mut self) -> Result<Outcome, SshError> {
        let to = format!("{}@{}", self.settings.user, super::client::address(self.settings));
        let mut answers = Answers { to, prompt: self.prompt, clock: self.clock, nobody: false };
        // libssh2 counts the time that the user takes to answer; sshd gives two minutes (LoginGraceTime)
        self.session.set_timeout(120_000);
        let result = self.session.userauth_keyboard_interactive(&self.settings.user, &mut answers);
        if answers.nobody {
            self.tried.push("keyboard-interactive: nobody to ask".into());
            return Ok(No);
        }
        self.outcome("keyboard-interactive", result)
    }
}

/// The server looked at the credentials and said no.
fn refused(e: &ssh2::Error) -> bool {
    matches!(
        e.code(),
        ErrorCode::Session(codes::AUTHENTICATION_FAILED | codes::PUBLICKEY_UNVERIFIED)
    )
}

/// Whether a server's question is for a password that stays the same, as PAM's "Password: " is. The questions of others
/// are their own ("Verification code", "One-time password (OATH)", "Passcode or option").
fn is_password(question: &str) -> bool {
    let question = question.to_lowercase();
    let passes = ["one-time", "one time", "otp", "oath", "token", "code", "new password"];
    question.contains("password") && !passes.iter().any(|word| question.contains(word))
}

/// Passes the server's questions on.
struct Answers<'a> {
    to: String,
    prompt: &'a dyn Prompt,
    clock: &'a Clock,
    nobody: bool,
}

impl KeyboardInteractivePrompt for Answers<'_> {
    fn prompt(
        &mut self,
        _user: &str,
        _instructions: &str,
        prompts: &[ssh2::Prompt<'_>],
    ) -> Vec<String> {
        let mut ask = |text: &str| {
            let question = format!("{}: {}: ", self.to, text.trim().trim_end_matches(':'));
            let ask = || {
                if is_password(text) {
                    self.prompt.secret(&question)
                } else {
                    self.prompt.once(&question)
                }
            };
            let answer = self.clock.while_asking(ask);
            self.nobody |= answer.is_none();
            answer.map(|a| a.expose().to_owned()).unwrap_or_default()
        };
        prompts.iter().map(|p| ask(&p.text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::prompt::{Prompt, Prompts};
    use super::is_password;
    use crate::secret::Secret;

    struct Counting(AtomicUsize);

    impl Prompt for Counting {
        fn secret(&self, _question: &str) -> Option<Secret> {
            Some(Secret::new(self.0.fetch_add(1, Ordering::Relaxed).to_string()))
        }
    }

    #[test]
    fn a_one_time_password_is_asked_for_at_each_login_and_a_password_once() {
        for lasting in ["Password: ", "jo@b1's password: ", "Password for jo@b1:"] {
            assert!(is_password(lasting), "{lasting}");
        }
        for passing in [
            "Verification code: ",
            "One-time password (OATH) for `jo': ",
            "Passcode or option (1-3): ",
            "OTP password:",
        ] {
            assert!(!is_password(passing), "{passing}");
        }
        let prompts = Prompts::new(Arc::new(Counting(AtomicUsize::new(0))));
        let said = |answer: Option<Secret>| answer.expect("somebody").expose().to_owned();
        let lasting = [said(prompts.secret("Password")), said(prompts.secret("Password"))];
        assert_eq!(lasting, ["0", "0"]);
        let passing = [said(prompts.once("Code")), said(prompts.once("Code"))];
        assert_eq!(passing, ["1", "2"]);
    }
}
