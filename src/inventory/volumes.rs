//! `client:`, `firewall:` and `volumes:`.

use std::collections::BTreeMap;

use crate::secret::Secret;

use super::check::Check;
use super::problem::quoted;
use super::schema;
use super::tree::{Node, Span, Value};
use super::values::{self, Wrong};
use super::{AdminKey, AutoOff, Client, VolumeDriver, Volumes};

/// Reads `client:`, absent or not.
pub(super) fn read_client(check: &mut Check<'_>, node: Option<&Node>, at: Span) -> Client {
    let mut client = Client { packages: AutoOff::Auto, admin_key: AdminKey::All };
    let Some(fields) = node.and_then(|n| check.fields(n, at, &schema::CLIENT)) else {
        return client;
    };
    if let Some(found) = check.optional(&fields, "packages", "auto", |_, t| values::auto_off(t)) {
        client.packages = found.it;
    }
    let admin_key = |_: &Check<'_>, t: &str| values::word(t, &["all", "mons"]);
    if let Some(found) = check.optional(&fields, "admin_key", "all", admin_key) {
        client.admin_key = if found.it == "all" { AdminKey::All } else { AdminKey::Mons };
    }
    client
}

/// Reads `volumes:`, absent or not; and where it names a program.
pub(super) fn read(
    check: &mut Check<'_>,
    node: Option<&Node>,
    at: Span,
) -> (Volumes, Option<Span>) {
    let mut volumes = Volumes {
        driver: VolumeDriver::Cephdock,
        driver_binary: None,
        programs: None,
        alias: None,
        settings: BTreeMap::new(),
    };
    let Some(fields) = node.and_then(|n| check.fields(n, at, &schema::VOLUMES)) else {
        return (volumes, None);
    };
    let named = check.optional(&fields, "driver", "cephdock", |_, t| driver(t));
    let unknown = fields.get("driver").is_some() && named.is_none();
    if let Some(found) = named {
        volumes.driver = found.it;
    }
    let binary = check.optional(&fields, "driver_binary", "./cephdock-arm64", Check::path);
    let place = binary.as_ref().map(|b| b.span);
    volumes.driver_binary = binary.map(|b| b.it);
    let alias =
        check.optional(&fields, "alias", "r.example:5000/rexray/rbd", |_, t| values::reference(t));
    volumes.alias = alias.map(|a| a.it);
    if let Some((_, node)) = fields.get("settings") {
        volumes.settings = settings(check, node);
    }
    if !unknown && !matches!(volumes.driver, VolumeDriver::Plugin(_)) {
        for name in ["alias", "settings"] {
            if let Some((key, _)) = fields.get(name) {
                check.error(
                    key.span,
                    format!("`{name}` is for third-party plugins only"),
                    format!(
                        "leave `{name}` out, or name the plugin: `driver: rexray/rbd` beside it"
                    ),
                );
            }
        }
    }
    let others = !unknown && volumes.driver != VolumeDriver::Cephdock;
    if let Some((key, _)) = fields.get("driver_binary").filter(|_| others) {
        check.error(
            key.span,
            "`driver_binary` is for cephdock's own driver only",
            "leave `driver_binary` out, or write `driver: cephdock`",
        );
    }
    (volumes, place)
}

fn driver(text: &str) -> Result<VolumeDriver, Wrong> {
    match text {
        "cephdock" => return Ok(VolumeDriver::Cephdock),
        "none" => return Ok(VolumeDriver::None),
        _ => {}
    }
    let off = ["off", "false", "no"].contains(&text.to_lowercase().as_str());
    let near = schema::nearest(&text.to_lowercase(), &["cephdock", "none"]);
    if let Some(near) = if off { Some("none") } else { near } {
        let message = format!("{} is not a volume driver", quoted(text));
        return Err(Wrong::new(message, format!("did you mean `{near}`?")));
    }
    values::reference(text).map(VolumeDriver::Plugin).map_err(|wrong| {
        Wrong::new(wrong.message, "write `cephdock`, `none` or a plugin such as `rexray/rbd`")
    })
}

fn settings(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, Secret> {
    let Value::Map(entries) = &node.value else {
        check.error(
            node.span,
            "`settings` is a mapping",
            "write it as `settings: {RBD_DEFAULTPOOL: rbd}`",
        );
        return BTreeMap::new();
    };
    let mut settings = BTreeMap::new();
    for (key, value) in check.unique(entries) {
        if values::env_name(&key.name).is_err() {
            check.error(
                key.span,
                format!("{} cannot be the name of a plugin's setting", quoted(&key.name)),
                "use letters, digits and `_`, as in `RBD_DEFAULTPOOL`; `docker plugin inspect` lists a plugin's \
                 settings",
            );
        } else if let Some(text) = check.scalar(&key.name, value, "value") {
            settings.insert(key.name.clone(), Secret::new(text));
        }
    }
    settings
}
