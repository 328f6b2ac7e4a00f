//! Docker's volume plugin protocol, version 1: JSON in and out, one POST a call.
//!
//! Facts: `docs/extend/plugins_volume.md` of docker/cli, and moby's pkg/plugins and daemon/volume/drivers. Docker matches
//! the names of fields as Go does, whatever their case. A request that it sends a second time after a broken connection
//! may have lost its body.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Trouble;

/// The type of both bodies.
pub const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// One call of Docker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// What kind of plugin is this?
    Activate,
    /// Is a volume the same on every node?
    Capabilities,
    /// Make a volume.
    Create {
        /// Its name.
        name: String,
        /// What follows `-o`.
        opts: BTreeMap<String, String>,
    },
    /// Remove a volume.
    Remove {
        /// Its name.
        name: String,
    },
    /// Somebody is about to use it here.
    Mount {
        /// Its name.
        name: String,
        /// Who: a container's own id for it, the same every time.
        id: String,
    },
    /// Somebody has stopped using it.
    Unmount {
        /// Its name.
        name: String,
        /// Who.
        id: String,
    },
    /// Where is it mounted?
    Path {
        /// Its name.
        name: String,
    },
    /// Is there such a volume?
    Get {
        /// Its name.
        name: String,
    },
    /// Which volumes are there?
    List,
}

impl Call {
    /// Reads a request. `None` for a path that is no call.
    pub fn parse(path: &str, body: &[u8]) -> Option<Result<Self, Trouble>> {
        let method = path.trim_start_matches('/');
        Some(match method {
            "Plugin.Activate" => Ok(Self::Activate),
            "VolumeDriver.Capabilities" => Ok(Self::Capabilities),
            "VolumeDriver.List" => Ok(Self::List),
            "VolumeDriver.Create" => Fields::read(body)
                .and_then(|f| Ok(Self::Create { name: f.text("Name")?, opts: f.texts("Opts")? })),
            "VolumeDriver.Remove" => {
                Fields::read(body).and_then(|f| Ok(Self::Remove { name: f.text("Name")? }))
            }
            "VolumeDriver.Mount" => Fields::read(body)
                .and_then(|f| Ok(Self::Mount { name: f.text("Name")?, id: f.text("ID")? })),
            "VolumeDriver.Unmount" => Fields::read(body)
                .and_then(|f| Ok(Self::Unmount { name: f.text("Name")?, id: f.text("ID")? })),
            "VolumeDriver.Path" => {
                Fields::read(body).and_then(|f| Ok(Self::Path { name: f.text("Name")? }))
            }
            "VolumeDriver.Get" => {
                Fields::read(body).and_then(|f| Ok(Self::Get { name: f.text("Name")? }))
            }
            _ => return None,
        })
    }
}

/// The fields of a request, their names in lower case.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8]) -> Result<Self, Trouble> {
        if body.trim_ascii().is_empty() {
            return Err(Trouble::new(
                "Docker sent this request again after a broken connection, and without its content",
                "do the same once more",
            ));
        }
        let odd = |why: String| Trouble::new(why, "is this Docker? Its protocol is JSON");
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => {
                Ok(Self(fields.into_iter().map(|(k, v)| (k.to_lowercase(), v)).collect()))
            }
            Ok(_) => Err(odd("the request is no object".into())),
            Err(error) => Err(odd(format!("the request cannot be read: {error}"))),
        }
    }

    fn text(&self, name: &str) -> Result<String, Trouble> {
        match self.0.get(&name.to_lowercase()) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            _ => Err(Trouble::new(format!("the request has no {name}"), "name the volume")),
        }
    }

    fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, Trouble> {
        let odd = || Trouble::new(format!("{name} is no mapping of texts"), "write -o NAME=VALUE");
        match self.0.get(&name.to_lowercase()) {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => fields
                .iter()
                .map(|(k, v)| Ok((k.clone(), v.as_str().ok_or_else(odd)?.to_owned())))
                .collect(),
            Some(_) => Err(odd()),
        }
    }
}

/// A volume as Docker sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Where containers find it on this node; nothing where it is not mounted.
    pub mountpoint: Option<String>,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// What `docker volume inspect` shows.
    pub status: BTreeMap<String, Value>,
}

impl Volume {
    fn json(&self) -> Value {
        let mut json = json!({
            "Name": self.name,
            "Mountpoint": self.mountpoint.as_deref().unwrap_or_default(),
        });
        if let Some(created) = &self.created {
            json["CreatedAt"] = json!(created);
        }
        if !self.status.is_empty() {
            json["Status"] = json!(self.status);
        }
        json
    }
}

/// What is answered where all went well.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To `Activate`.
    Activated,
    /// To `Capabilities`.
    Global,
    /// To `Create`, `Remove` and `Unmount`.
    Done,
    /// To `Mount` and `Path`.
    Mountpoint(Option<String>),
    /// To `Get`.
    Volume(Volume),
    /// To `List`.
    Volumes(Vec<Volume>),
}

/// The body of a response. An error is a field of it; Docker prints it after the name of the call.
pub fn response(answer: &Result<Answer, Trouble>) -> String {
    let json = match answer {
        Ok(Answer::Activated) => json!({"Implements": ["VolumeDriver"]}),
        Ok(Answer::Global) => json!({"Capabilities": {"Scope": "global"}, "Err": ""}),
        Ok(Answer::Done) => json!({"Err": ""}),
        Ok(Answer::Mountpoint(at)) => {
            json!({"Mountpoint": at.as_deref().unwrap_or_default(), "Err": ""})
        }
        Ok(Answer::Volume(volume)) => json!({"Volume": volume.json(), "Err": ""}),
        Ok(Answer::Volumes(volumes)) => {
            json!({"Volumes": volumes.iter().map(Volume::json).collect::<Vec<_>>(), "Err": ""})
        }
        Err(trouble) => json!({"Err": trouble.to_string()}),
    };
    json.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, body: &str) -> Result<Call, String> {
        Call::parse(path, body.as_bytes()).expect("a call").map_err(|t| t.to_string())
    }

    #[test]
    fn requests_are_read_as_go_would() {
        let create = Call::Create {
            name: "data".into(),
            opts: BTreeMap::from([("size".into(), "1G".into())]),
        };
        for body in
            [r#"{"Name":"data","Opts":{"size":"1G"}}"#, r#"{"name":"data","OPTS":{"size":"1G"}}"#]
        {
            assert_eq!(read("/VolumeDriver.Create", body), Ok(create.clone()));
        }
        let bare = Call::Create { name: "data".into(), opts: BTreeMap::new() };
        for body in [r#"{"Name":"data","Opts":null}"#, r#"{"Name":"data"}"#] {
            assert_eq!(read("/VolumeDriver.Create", body), Ok(bare.clone()));
        }
        let mount = Call::Mount { name: "data".into(), id: "ab".into() };
        assert_eq!(read("/VolumeDriver.Mount", r#"{"Name":"data","ID":"ab"}"#), Ok(mount.clone()));
        assert_eq!(read("/VolumeDriver.Mount", r#"{"name":"data","id":"ab"}"#), Ok(mount));
        assert_eq!(read("/VolumeDriver.List", ""), Ok(Call::List));
        assert_eq!(read("/Plugin.Activate", ""), Ok(Call::Activate));
        assert_eq!(Call::parse("/VolumeDriver.Nothing", b"{}"), None);
    }

    #[test]
    fn a_request_that_lost_its_content_is_told_so() {
        let said = read("/VolumeDriver.Mount", " ").unwrap_err();
        assert!(said.contains("do the same once more"), "{said}");
        for body in ["[]", "{", r#"{"Name":7,"ID":"x"}"#, r#"{"Name":"x"}"#] {
            assert!(read("/VolumeDriver.Mount", body).is_err(), "{body}");
        }
        assert!(read("/VolumeDriver.Create", r#"{"Name":"x","Opts":{"size":1}}"#).is_err());
    }

    #[test]
    fn answers_have_the_fields_that_docker_reads() {
        let volume = Volume {
            name: "data".into(),
            mountpoint: None,
            created: Some("2026-11-26T11:42:17Z".into()),
            status: BTreeMap::from([("pool".into(), json!("rbd"))]),
        };
        let text = response(&Ok(Answer::Volume(volume)));
        let json: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"Err": "", "Volume": {"Name": "data", "Mountpoint": "",
            "CreatedAt": "2026-11-26T11:42:17Z", "Status": {"pool": "rbd"}}});
        assert_eq!(json, expected);
        assert_eq!(response(&Ok(Answer::Volumes(vec![]))), r#"{"Err":"","Volumes":[]}"#);
        let failed = response(&Err(Trouble::new("it burns", "put it out")));
        assert_eq!(failed, r#"{"Err":"it burns; put it out"}"#);
    }
}
