//! Disks whose content will be lost, as nobody overlooks them: each marked, with what tells it from others, and its
//! path whole on a line of its own.

use serde::Serialize;

use crate::inventory::NodeName;

use super::screen::{Screen, Tone};
use super::text::{bytes, clean, put};

/// A disk whose content will be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskGoes {
    /// Where.
    pub node: NodeName,
    /// Its most stable path.
    pub path: String,
    /// The kernel's name for it.
    pub kernel_name: String,
    /// Its serial number, where it tells one.
    pub serial: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The number of the OSD that it carries, or will; `None`: an unfinished one.
    pub osd: Option<u32>,
}

/// Two lines a disk; empty where there is none.
pub(super) fn render(disks: &[DiskGoes], screen: &Screen) -> String {
    let cells: Vec<[String; 5]> = disks.iter().map(cells).collect();
    let width =
        |column: usize| cells.iter().map(|c| c[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let mut out = String::new();
    for (disk, [node, name, size, serial, osd]) in disks.iter().zip(&cells) {
        let [w0, w1, w2, w3] = widths;
        let line = format!("!! {node:<w0$}  {name:<w1$}  {size:>w2$}  {serial:<w3$}  {osd}");
        put(&mut out, format_args!("   {}\n", screen.paint(Tone::Bad, &line)));
        if disk.path != format!("/dev/{}", disk.kernel_name) {
            put(&mut out, format_args!("      {:w0$}  {}\n", "", clean(&disk.path)));
        }
    }
    out
}

fn cells(disk: &DiskGoes) -> [String; 5] {
    let serial = disk.serial.as_ref().map_or("no serial number".into(), |s| format!("serial {s}"));
    [
        disk.node.to_string(),
        clean(&format!("/dev/{}", disk.kernel_name)),
        bytes(disk.size),
        clean(&serial),
        disk.osd.map_or("an unfinished OSD".into(), |n| format!("osd.{n}")),
    ]
}
