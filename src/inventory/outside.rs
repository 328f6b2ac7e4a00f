//! What an inventory only names: the image archive, the registry's password, programs. They are read before any node is
//! contacted, by the commands that need them, and what is wrong with them is a problem of the inventory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::file::Loaded;
use super::problem::{Level, Problem, Problems, quoted};
use super::values::Wrong;
use super::{Inventory, PasswordSource, VolumeDriver};
use crate::image::archive::{self, ArchiveError};
use crate::image::{Login, is_from, registry};
use crate::secret::Secret;
use crate::volume::program::{Program, ProgramError};

/// Where in the inventory they are named.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Places {
    pub(super) image_archive: Option<Problem>,
    pub(super) password: Option<Problem>,
    pub(super) driver_binary: Option<Problem>,
}

impl Loaded {
    /// Reads what the image archive holds, if the inventory names one: a plan takes it to know which nodes lack it.
    ///
    /// # Errors
    /// It cannot be read or does not hold the cluster's image.
    pub fn read_archive(&mut self) -> Result<(), Problems> {
        let cluster = &mut self.inventory.cluster;
        let Some(archive) = &mut cluster.image_archive else { return Ok(()) };
        match archive::read(&archive.path, &cluster.image) {
            Ok(archived) => {
                archive.archived = Some(archived);
                Ok(())
            }
            Err(error) => {
                let wrong = wrong_archive(&archive.path, &cluster.image, &error);
                Err(self.problem(self.places.image_archive.as_ref(), wrong))
            }
        }
    }

    /// Reads the registry's password, if the image may have to be pulled from there. `must`: a password that cannot be
    /// had is an error; otherwise a warning, for a command that only looks can do without.
    ///
    /// # Errors
    /// There is no password.
    pub fn read_password(&mut self, must: bool) -> Result<(), Problems> {
        let plugin = plugin_source(&self.inventory).cloned();
        let cluster = &mut self.inventory.cluster;
        let Some(registry) = &mut cluster.registry else { return Ok(()) };
        let image = cluster.image_archive.is_none().then_some(&cluster.image);
        if !image.into_iter().chain(&plugin).any(|used| is_from(used, &registry.server)) {
            return Ok(());
        }
        match password(&registry.password) {
            Ok(password) => {
                registry.login = Some(Login {
                    server: registry.server.clone(),
                    username: registry.username.clone(),
                    password,
                    source: source(&registry.password),
                });
                Ok(())
            }
            Err(wrong) => {
                let problems = self.problem(self.places.password.as_ref(), wrong);
                self.fail_or_warn(must, problems)
            }
        }
    }

    /// Looks into the programs that nodes may get as their volume driver: the one that the inventory names, and this very
    /// one. A plan takes it to know which nodes have another. `must`: one that cannot be had is an error; otherwise a
    /// warning, and nothing is said about drivers.
    ///
    /// # Errors
    /// The inventory names one that cannot be read or is none.
    pub fn read_programs(&mut self, must: bool) -> Result<(), Problems> {
        let volumes = &mut self.inventory.volumes;
        if volumes.driver != VolumeDriver::Cephdock {
            return Ok(());
        }
        let mut programs = Vec::new();
        if let Some(path) = &volumes.driver_binary {
            match Program::read(path) {
                Ok(program) => programs.push(program),
                Err(error) => {
                    let wrong = wrong_program(path, &error);
                    let problems = self.problem(self.places.driver_binary.as_ref(), wrong);
                    return self.fail_or_warn(must, problems);
                }
            }
        }
        // where this process cannot read itself, nodes that need it are told of
        programs.extend(Program::this().ok());
        volumes.programs = Some(programs);
        Ok(())
    }

    fn fail_or_warn(&mut self, must: bool, mut problems: Problems) -> Result<(), Problems> {
        if must {
            return Err(problems);
        }
        problems.problems.iter_mut().for_each(|p| p.level = Level::Warning);
        self.warnings.append(&mut problems.problems);
        Ok(())
    }

    fn problem(&self, place: Option<&Problem>, wrong: Wrong) -> Problems {
        let Some(place) = place else {
            return Problems::of_file(&self.path, wrong.message, wrong.fix);
        };
        let problem = Problem { message: wrong.message, fix: wrong.fix, ..place.clone() };
        Problems { path: self.path.clone(), problems: vec![problem] }
    }
}

fn wrong_archive(path: &Path, image: &str, error: &ArchiveError) -> Wrong {
    let path = path.to_string_lossy();
    let made = format!("make it with `docker save -o {path} {image}` where Docker has the image");
    match error {
        ArchiveError::Io(e) if e.kind() == io::ErrorKind::NotFound => {
            Wrong::new(format!("there is no file {}", quoted(&path)), made)
        }
        ArchiveError::Io(_) => Wrong::new(
            format!("the image archive {}: {error}", quoted(&path)),
            "name a file that can be read",
        ),
        ArchiveError::Not(_) => {
            Wrong::new(format!("the image archive {}: {error}", quoted(&path)), made)
        }
        ArchiveError::Lacks(tags) => Wrong::new(
            format!("the image archive does not hold {}: {error}", quoted(image)),
            match &tags[..] {
                [] => format!("save it by its name: `docker save -o {path} {image}`"),
                [first, ..] => format!("write `image: {first}`, or {made}"),
            },
        ),
    }
}

fn wrong_program(path: &Path, error: &ProgramError) -> Wrong {
    let path = quoted(&path.to_string_lossy());
    match error {
        ProgramError::Io(e) if e.kind() == io::ErrorKind::NotFound => Wrong::new(
            format!("there is no file {path}"),
            "name a cephdock that was built for the nodes, or leave `driver_binary` out",
        ),
        ProgramError::Io(_) => {
            Wrong::new(format!("the program {path}: {error}"), "name a file that can be read")
        }
        ProgramError::Not => Wrong::new(
            format!("{path} is no program for Linux"),
            "name a cephdock that was built for the nodes, or leave `driver_binary` out",
        ),
    }
}

/// Longer than any password, and nothing to be held in memory.
const LONGEST: u64 = 64 << 10;

fn password(source: &PasswordSource) -> Result<Secret, Wrong> {
    let (text, from) = match source {
        PasswordSource::Env(name) => match std::env::var(name) {
            Ok(text) => (text, format!("the environment variable `{name}`")),
            Err(std::env::VarError::NotPresent) => {
                return Err(Wrong::new(
                    format!("the environment variable `{name}` is not set"),
                    format!("set it for cephdock: `read -rs {name} && export {name}`"),
                ));
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Wrong::new(
                    format!("the environment variable `{name}` is not UTF-8 text"),
                    "set it to the password",
                ));
            }
        },
        PasswordSource::File(path) => {
            let mut text = String::new();
            let read = File::open(path).and_then(|f| f.take(LONGEST).read_to_string(&mut text));
            let shown = quoted(&path.to_string_lossy());
            if let Err(error) = read {
                let message = match error.kind() {
                    io::ErrorKind::NotFound => format!("there is no file {shown}"),
                    _ => format!("the password file {shown} cannot be read: {error}"),
                };
                return Err(Wrong::new(
                    message,
                    "write the password into its first line, readable by you alone, or name another file",
                ));
            }
            (text, format!("the first line of {shown}"))
        }
    };
    let text = Secret::new(text);
    match text.expose().lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(Wrong::new(format!("{from} is empty"), "put the password there")),
    }
}

/// Where a password comes from, for messages.
fn source(password: &PasswordSource) -> String {
    match password {
        PasswordSource::File(path) => format!("the file {}", path.display()),
        PasswordSource::Env(name) => format!("the environment variable {name}"),
    }
}

/// What the volume plugin is pulled from, where the inventory names one.
fn plugin_source(want: &Inventory) -> Option<&String> {
    match &want.volumes.driver {
        VolumeDriver::Plugin(name) => Some(want.volumes.alias.as_ref().unwrap_or(name)),
        VolumeDriver::Cephdock | VolumeDriver::None => None,
    }
}

/// A login that nothing the inventory names is pulled with.
pub(super) fn useless_login(want: &Inventory) -> Option<Wrong> {
    let server = &want.cluster.registry.as_ref()?.server;
    let plugin = plugin_source(want);
    let used = |reference: &String| is_from(reference, server);
    if used(&want.cluster.image) || plugin.is_some_and(used) {
        return None;
    }
    Some(Wrong::new(
        format!("this login is not used: the image comes from `{}`", registry(&want.cluster.image)),
        format!(
            "write `image: {server}/…`, or the registry that the image is pulled from, or leave `registry` out"
        ),
    ))
}
