//! `volume rm`.

use serde_json::Value;

use super::{Exit, Look, Session, agreed, done, failed, refused};
use crate::volume::fleet::change;

pub(super) async fn run(session: &Session, look: Look, yes: bool, name: &str) -> Exit {
    let facts = session.fleet.look_at_volumes(&session.want, Some(name)).await;
    let removal = match change::remove(&facts, name) {
        Ok(removal) => removal,
        Err(refusal) => return refused(look, &refusal),
    };
    for note in &removal.notes {
        look.print_error(&format!("note: {note}"));
    }
    if !yes && let Some(image) = facts.image(name) {
        look.print_error(&crate::report::volume_view::goes(image));
    }
    if !agreed(look, yes, "Type the volume's name to remove it:", name) {
        return Exit::Refused;
    }
    // whoever has begun to use it meanwhile watches it, and Ceph refuses
    let gone = session.fleet.change_image(&facts, &removal.target, "remove", &Value::Null).await;
    if let Err(error) = gone {
        return failed(look, &format!("volume {name} was not removed"), &error);
    }
    let left = session.fleet.forget_volume(&removal.forget, name).await;
    for (node, error) in &left {
        look.print_error(&format!("warning: {node}: {}", error.sentence()));
    }
    done(look, "volume-removed", name, &format!("volume {name} is removed"))
}
