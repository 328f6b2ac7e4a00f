//! `volume ls` and `volume inspect`.

use super::{Exit, Look, Session, fail};
use crate::facts::Seen;
use crate::inventory::nearest;
use crate::volume::fleet::view;

pub(super) async fn list(session: &Session, look: Look) -> Exit {
    let facts = session.fleet.look_at_volumes(&session.want, None).await;
    look.print_volumes(&view::all(&facts));
    // what nobody knows is not "none"
    if facts.cluster.value().is_some() { Exit::Done } else { Exit::Failed }
}

pub(super) async fn inspect(session: &Session, look: Look, name: &str) -> Exit {
    let facts = session.fleet.look_at_volumes(&session.want, Some(name)).await;
    let volume = view::one(&facts, name);
    let unknown = view::unknown(&facts);
    if view::exists(&volume) {
        look.print_volume(&volume, &unknown);
        return if facts.cluster.value().is_some() { Exit::Done } else { Exit::Failed };
    }
    let (what, hint) = match &facts.cluster {
        Seen::Value(cluster) => {
            let names: Vec<&str> = cluster.names.iter().map(String::as_str).collect();
            let near = nearest(name, &names).map(|near| format!("did you mean `{near}`?"));
            let all = || "`cephdock volume ls` lists all".into();
            (format!("there is no volume {name}"), near.unwrap_or_else(all))
        }
        Seen::Unknown(why) => (
            format!("Ceph cannot be asked, so nothing is known of {name}: {why}"),
            "`cephdock status` says what is wrong".into(),
        ),
        Seen::Absent => ("there is no cluster yet".into(), "`cephdock up` makes it".into()),
    };
    fail(look, Exit::Failed, what, Some(hint))
}
