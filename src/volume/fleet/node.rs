//! What a node has to do with volumes, and the parser of what `host/volumes.sh` prints.

use std::path::Path;

use crate::facts::Seen;
use crate::volume::state::State;
use crate::volume::unit;

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeVolumes {
    /// Images that its kernel has mapped, whoever did it.
    pub devices: Vec<Device>,
    /// Containers with volumes of a driver, running or not. Unknown: Docker does not answer.
    pub containers: Seen<Vec<Container>>,
    /// Volumes that its Docker lists for the driver; `None`: the driver gives no answer.
    pub listed: Option<Vec<String>>,
    /// What the driver wrote down; absent: it never ran here.
    pub state: Seen<State>,
    /// Something listens where Docker looks for the driver.
    pub driver: bool,
    /// A mon's container runs here: Ceph can be asked through it.
    pub mon: bool,
}

impl Default for NodeVolumes {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            containers: Seen::Value(Vec::new()),
            listed: Some(Vec::new()),
            state: Seen::Absent,
            driver: true,
            mon: false,
        }
    }
}

/// A mapped image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// N of `/dev/rbdN`.
    pub number: u32,
    /// Its pool.
    pub pool: String,
    /// The namespace in the pool; empty for the default one.
    pub namespace: String,
    /// The image's name when it was mapped.
    pub name: String,
    /// The image's id.
    pub image_id: String,
    /// The kernel client's address and nonce.
    pub client: String,
    /// The cluster; `None` where the kernel does not tell.
    pub cluster: Option<String>,
    /// Nobody can write to it.
    pub read_only: bool,
    /// Where it, or a partition of it, is mounted, in whatever mount namespace.
    pub mounts: Vec<String>,
    /// What is built on it, such as `dm-0`.
    pub holders: Vec<String>,
}

impl Device {
    /// `/dev/rbdN`.
    pub fn path(&self) -> String {
        format!("/dev/rbd{}", self.number)
    }

    /// Where the driver has mounted it.
    pub fn own_mounts(&self) -> impl Iterator<Item = &String> {
        self.mounts.iter().filter(|at| is_own(at))
    }

    /// Who uses it besides the driver: a container or a person that has it mounted, or a device on top of it.
    pub fn used_by(&self) -> Option<String> {
        let other = self.mounts.iter().find(|at| !is_own(at)).map(|at| format!("mounted at {at}"));
        other.or_else(|| Some(format!("below {}", self.holders.first()?)))
    }

    /// Where its filesystem can be frozen and grown.
    pub fn mountpoint(&self) -> Option<&String> {
        self.own_mounts().next().or(self.mounts.first())
    }
}

fn is_own(at: &str) -> bool {
    Path::new(at).starts_with(Path::new(unit::ROOT).join("volumes"))
}

/// A container with at least one volume of a driver that is not Docker's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// It runs, or is about to, or is paused.
    pub running: bool,
    /// Which.
    pub volumes: Vec<Reference>,
}

/// A container's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The volume.
    pub name: String,
    /// The driver, as Docker calls it.
    pub driver: String,
}

/// Reads the output of `host/volumes.sh`: devices, their mounts, the driver's state.
///
/// # Errors
/// It was cut off before its end, or a line of it makes no sense.
pub fn parse(text: &str) -> Result<NodeVolumes, String> {
    let mut node = NodeVolumes::default();
    let mut numbers: Vec<(String, usize)> = Vec::new(); // major:minor, of partitions too
    let mut whole = false;
    for section in text.split("\n@@").skip(1) {
        let (head, body) = section.split_once('\n').unwrap_or((section, ""));
        let (kind, rest) = head.split_once(' ').unwrap_or((head, ""));
        match kind {
            "device" => {
                let mut device = Device {
                    number: rest.parse().map_err(|_| format!("{rest:?} is no device"))?,
                    ..Device::default()
                };
                for line in body.lines() {
                    read_device(&mut device, line, node.devices.len(), &mut numbers);
                }
                // one that is being mapped at this moment has no id yet
                if !device.image_id.is_empty() {
                    node.devices.push(device);
                }
            }
            "mounts" => {
                for line in body.lines() {
                    let Some((number, at)) = line.split_once(' ') else { continue };
                    let at = at.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
                    for (_, index) in numbers.iter().filter(|(n, _)| n == number) {
                        let Some(device) = node.devices.get_mut(*index) else { continue };
                        if !device.mounts.contains(&at) {
                            device.mounts.push(at.clone());
                        }
                    }
                }
            }
            "driver" => node.driver = body.trim() == "yes",
            "state" => {
                node.state = match serde_json::from_str(body.trim()) {
                    Ok(state) => Seen::Value(state),
                    Err(error) => Seen::Unknown(format!("the driver's state: {error}")),
                }
            }
            "end" => whole = true,
            _ => {}
        }
    }
    if whole { Ok(node) } else { Err("the look at it was cut off".into()) }
}

fn read_device(device: &mut Device, line: &str, index: usize, numbers: &mut Vec<(String, usize)>) {
    let (key, value) = line.split_once(' ').unwrap_or((line, ""));
    let to = match key {
        "pool" => &mut device.pool,
        "pool_ns" => &mut device.namespace,
        "name" => &mut device.name,
        "image_id" => &mut device.image_id,
        "client_addr" => &mut device.client,
        "cluster_fsid" => return device.cluster = Some(value.to_owned()),
        "ro" => return device.read_only = value == "1",
        "dev" => return numbers.push((value.to_owned(), index)),
        "holder" => return device.holders.push(value.to_owned()),
        _ => return,
    };
    value.clone_into(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read() {
        let text = "\n@@device 0\npool rbd\npool_ns \nname data\nimage_id 10c9\nclient_addr 10.32.3.81:0/99\ncluster_fsid f\nro 0\ndev 251:0\ndev 251:1\nholder dm-0\n\
            \n@@device 1\npool rbd\nname half\nimage_id \ndev 251:16\n\
            \n@@device 2\npool rbd\nname old\nimage_id 7\nro 1\ndev 251:32\n\
            \n@@mounts\n251:0 /var/lib/cephdock/volumes/data.10c9\n251:0 /var/lib/cephdock/volumes/data.10c9\n251:1 /my\\040data\n251:32 /x\n8:0 /\n\
            \n@@driver\nyes\n\n@@state\n{\"boot_id\":\"b\",\"holds\":{},\"known\":{}}\n\n@@end\n";
        let node = parse(text).unwrap();
        assert_eq!(node.devices.len(), 2, "one is only half there");
        let data = &node.devices[0];
        assert_eq!((data.path().as_str(), data.image_id.as_str()), ("/dev/rbd0", "10c9"));
        assert_eq!(data.mounts, ["/var/lib/cephdock/volumes/data.10c9", "/my data"]);
        assert_eq!(data.used_by().as_deref(), Some("mounted at /my data"));
        assert!(node.devices[1].read_only);
        assert_eq!(node.devices[1].mounts, ["/x"]);
        assert!(node.driver && matches!(&node.state, Seen::Value(s) if s.boot_id == "b"));
        assert!(parse("\n@@driver\nno\n").is_err(), "cut off");
    }
}
