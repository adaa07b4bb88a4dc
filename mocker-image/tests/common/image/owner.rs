//! Owners, and what else has ids in it: access control lists and capabilities.

use conformance::fixture::{Image, Layer};

/// cap_net_raw for whoever runs the file; for the root of a user namespace, whose id the host has, version 3.
pub(crate) fn capability(root: Option<u32>) -> Vec<u8> {
    let version = if root.is_some() { 3 } else { 2 };
    let mut value = vec![0; 20];
    (value[0], value[3], value[5]) = (1, version, 0x20);
    root.into_iter().for_each(|root| value.extend(root.to_le_bytes()));
    value
}

/// An access control list for one more user and one more group.
pub(crate) fn list(user: u32, group: u32) -> Vec<u8> {
    let none = u32::MAX;
    let entries =
        [(1_u16, 7_u16, none), (2, 4, user), (4, 5, none), (8, 6, group), (16, 7, none), (32, 5, none)];
    let bytes = entries.iter().flat_map(|(tag, rights, id)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    });
    2_u32.to_le_bytes().into_iter().chain(bytes).collect()
}

/// The same in GNU tar's words, which it reads and umoci does not.
fn words(user: u32, group: u32) -> String {
    format!("user::rwx,user:{user}:r--,group::r-x,group:{group}:rw-,mask::rwx,other::r-x")
}

/// Owners of all kinds, in attributes too.
pub(crate) fn owned() -> Image {
    let base = Layer::new()
        .dir("etc")
        .file("etc/root", "r")
        .file("etc/app", "a")
        .owner(1000, 100)
        .mode(0o4755)
        .symlink("link", "etc/app")
        .owner(7, 8)
        .fifo("pipe")
        .owner(0, 5)
        .file("forgotten/parent", "p")
        .file("ping", "p")
        .mode(0o775)
        .xattr("security.capability", capability(None))
        .xattr("system.posix_acl_access", list(1000, 100))
        .xattr("SCHILY.acl.access", words(1000, 100))
        .dir("shared")
        .mode(0o775)
        .xattr("system.posix_acl_default", list(7, 8))
        .xattr("SCHILY.acl.default", words(7, 8));
    Image::new().layer(&base).layer(&Layer::new().whiteout("etc/root").file("etc/top", "t").owner(9, 9))
}

/// Directories with a list for what is made in them, which is not to get it, and one that is taken back.
pub(crate) fn lists() -> Image {
    let given = Layer::new()
        .dir("given")
        .mode(0o775)
        .xattr("system.posix_acl_default", list(7, 8))
        .xattr("SCHILY.acl.default", words(7, 8))
        .file("given/file", "1")
        .mode(0o666)
        .dir("given/dir")
        .mode(0o777)
        .fifo("given/pipe")
        .mode(0o622)
        .file("given/implied/file", "1")
        .file("listed", "1")
        .mode(0o674)
        .xattr("system.posix_acl_access", list(7, 8))
        .xattr("SCHILY.acl.access", words(7, 8))
        .dir("taken")
        .xattr("system.posix_acl_access", list(7, 8))
        .xattr("SCHILY.acl.access", words(7, 8));
    let upper = Layer::new().file("given/more", "2").mode(0o666).dir("taken").mode(0o700);
    Image::new().layer(&given).layer(&upper)
}
