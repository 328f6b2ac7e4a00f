//! `volume grow`.

use serde_json::json;

use super::{Exit, Look, Session, done, failed, refused};
use crate::cli::VolumeGrow;
use crate::report::text::bytes;
use crate::volume::fleet::change;

pub(super) async fn run(session: &Session, look: Look, options: &VolumeGrow) -> Exit {
    let VolumeGrow { name, size } = options;
    let facts = session.fleet.look_at_volumes(&session.want, Some(name)).await;
    let growth = match change::grow(&facts, name, *size) {
        Ok(growth) => growth,
        Err(refusal) => return refused(look, &refusal),
    };
    if let Some(size) = growth.size {
        let more = json!({ "size": size });
        let grown = session.fleet.change_image(&facts, &growth.target, "resize", &more).await;
        if let Err(error) = grown {
            return failed(look, &format!("volume {name} has not grown"), &error);
        }
    }
    let has = bytes(growth.size.unwrap_or(*size));
    let sentence = match (&growth.online, growth.size) {
        (Some(online), _) => {
            if let Err(error) = session.fleet.grow_filesystem(online).await {
                let what = format!(
                    "the image of volume {name} has {has} now, and its filesystem has not grown on {} yet; it does when it is mounted next",
                    online.node
                );
                return failed(look, &what, &error);
            }
            format!("volume {name} has {has}, and its filesystem on {} too", online.node)
        }
        (None, Some(_)) => {
            format!("volume {name} has {has}; its filesystem grows when it is mounted next")
        }
        (None, None) => format!("volume {name} has {has} already"),
    };
    done(look, "volume-grown", name, &sentence)
}
