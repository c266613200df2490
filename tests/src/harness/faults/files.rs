//! Faults of files, folders, disks and rights.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use stepwell::{StepError, StepResult, StepResultExt as _};

use crate::cases;
use crate::harness::faults::case::Case;
use crate::harness::faults::lab::Lab;

pub(super) const CASES: &[Case] = cases! {
    #[quick] a_missing_file: Fault ["SW3001"] "make_file", |lab: Lab| {
        let path = lab.path("orders.csv");
        lab.fails(move || read(path.clone()))
    };
    #[quick] a_missing_folder: Fault ["SW3002"] "mend_path", |lab: Lab| {
        let path = lab.path("imports/2026/orders.csv");
        lab.fails(move || read(path.clone()))
    };
    #[quick] a_misspelt_name: Fault ["SW3002"] "mend_path", |lab: Lab| async move {
        fs::write(lab.path("customers.csv"), "a;b").map_err(text)?;
        let path = lab.path("custmers.csv");
        lab.fails(move || read(path.clone())).await
    };
    #[quick] a_file_where_a_folder_should_be: Fault ["SW3002"] "mend_path", |lab: Lab| async move {
        fs::write(lab.path("archive"), "x").map_err(text)?;
        let path = lab.path("archive/2026.csv");
        lab.fails(move || read(path.clone())).await
    };
    #[quick] a_folder_where_a_file_should_be: Fault ["SW3002"] "mend_path", |lab: Lab| async move {
        let path = lab.path("");
        lab.fails(move || read(path.clone())).await
    };
    #[quick] a_broken_link: Fault ["SW3001", "SW3002"] "", |lab: Lab| async move {
        let path = lab.path("latest.csv");
        std::os::unix::fs::symlink(lab.path("2019/gone.csv"), &path).map_err(text)?;
        lab.fails(move || read(path.clone())).await
    };
    a_file_that_may_not_be_read: Fault ["SW3003"] "grant_access" in Nobody, |lab: Lab| async move {
        let path = lab.path("secrets.txt");
        fs::write(&path, "x").map_err(text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).map_err(text)?;
        lab.fails(move || read(path.clone())).await
    };
    a_folder_that_may_not_be_written: Fault ["SW3003"] "grant_access" in Nobody, |lab: Lab| async move {
        let folder = lab.path("out");
        fs::create_dir(&folder).map_err(text)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).map_err(text)?;
        let path = format!("{folder}/report.csv");
        lab.fails(move || {
            let path = path.clone();
            async move { File::create(&path).map(|_| String::new()).note(format!("writing {path}")) }
        }).await
    };
    a_file_of_root: Fault ["SW3003"] "grant_access" in Nobody, |lab: Lab| {
        lab.fails(|| async { append("/etc/hostname".to_owned(), 1).await })
    };
    a_folder_that_may_not_be_entered: Fault ["SW3003"] "grant_access" in Nobody, |lab: Lab| async move {
        let folder = lab.path("private");
        fs::create_dir(&folder).map_err(text)?;
        fs::write(format!("{folder}/a.txt"), "x").map_err(text)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o0)).map_err(text)?;
        let path = format!("{folder}/a.txt");
        lab.fails(move || read(path.clone())).await
    };
    a_full_disk: Fault ["SW3004"] "free_space", |mut lab: Lab| async move {
        let (path, _disk) = match Disk::mount("size=64k") {
            Some(disk) => (disk.file("report.csv"), Some(disk)),
            None => {
                lab.stand_in("/dev/full");
                ("/dev/full".to_owned(), None)
            }
        };
        lab.fails(move || append(path.clone(), 1 << 20)).await
    };
    #[quick] a_device_that_is_full: Fault ["SW3004"] "free_space", |lab: Lab| {
        lab.fails(|| append("/dev/full".to_owned(), 100))
    };
    a_disk_without_inodes: Fault ["SW3009", "SW3004"] "", |mut lab: Lab| async move {
        let Some(disk) = Disk::mount("size=16m,nr_inodes=4") else {
            lab.stand_in("the number of the error");
            return lab.fails(|| async { Err(io::Error::from_raw_os_error(28).into()) }).await;
        };
        let names: Vec<_> = (0..8).map(|nth| disk.file(&format!("{nth}.txt"))).collect();
        lab.fails(move || {
            let names = names.clone();
            async move {
                for name in &names {
                    File::create(name).note(format!("making {name}"))?;
                }
                Ok(String::new())
            }
        }).await
    };
    a_mount_that_is_read_only: Fault ["SW3005"] "remount", |mut lab: Lab| async move {
        let disk = Disk::mount("size=64k,ro");
        let path = match &disk {
            Some(disk) => disk.file("report.csv"),
            None => {
                lab.stand_in("the number of the error");
                String::new()
            }
        };
        lab.fails(move || {
            let path = path.clone();
            async move {
                match File::create(&path) {
                    Err(error) if !path.is_empty() => Err(error).note(format!("writing {path}")),
                    _ => Err(io::Error::from_raw_os_error(30).into()),
                }
            }
        }).await
    };
    a_file_larger_than_allowed: Fault ["SW3010"] "raise_quota" in SmallFiles, |lab: Lab| {
        let path = lab.path("dump.bin");
        lab.fails(move || append(path.clone(), 1 << 20))
    };
    #[quick] a_quota_that_is_used_up: Fault ["SW3010"] "raise_quota", |mut lab: Lab| {
        lab.stand_in("the number of the error");
        lab.fails(|| async { Err(io::Error::from_raw_os_error(122).into()) })
    };
    #[quick] a_name_that_is_too_long: Fault ["SW3006"] "shorten_name", |lab: Lab| {
        let path = lab.path(&"n".repeat(300));
        lab.fails(move || read(path.clone()))
    };
    #[quick] a_path_that_is_too_long: Fault ["SW3006"] "shorten_name", |lab: Lab| {
        let path = lab.path(&"folder/".repeat(700));
        lab.fails(move || read(path.clone()))
    };
    too_many_open_files: Fault ["SW3007"] "raise_open_files" in FewFiles, |lab: Lab| {
        lab.fails(|| async {
            let mut open = Vec::new();
            let error = loop {
                match File::open("/dev/null") {
                    Ok(file) => open.push(file),
                    Err(error) => break error,
                }
            };
            // A leak: they stay open while the step gives up.
            std::mem::forget(open.split_off(open.len() / 2));
            Err(error.into())
        })
    };
    #[quick] a_file_that_is_there_already: Fault ["SW1103"] "check_effect", |lab: Lab| async move {
        let path = lab.path("invoice-7.pdf");
        fs::write(&path, "x").map_err(text)?;
        lab.fails(move || {
            let path = path.clone();
            async move {
                OpenOptions::new().write(true).create_new(true).open(&path).note(format!("making {path}"))?;
                Ok(String::new())
            }
        }).await
    };
    #[quick] a_setting_that_is_missing: Fault ["SW3008"] "set_variable", |lab: Lab| {
        lab.fails(|| async { std::env::var("STEPWELL_NO_SUCH_SETTING").note("reading STEPWELL_NO_SUCH_SETTING") })
    };
    #[quick] a_file_of_settings_that_is_missing: Fault ["SW3008"] "set_variable", |lab: Lab| {
        let path = lab.path("gateway.toml");
        lab.fails(move || {
            let path = path.clone();
            async move {
                let read = fs::read_to_string(&path);
                read.map_err(|error| StepError::config(format!("settings {path} cannot be read")).caused_by(error))
            }
        })
    };
};

pub(super) fn text(error: io::Error) -> String {
    error.to_string()
}

async fn read(path: String) -> StepResult<String> {
    fs::read_to_string(&path).note(format!("reading {path}"))
}

async fn append(path: String, bytes: usize) -> StepResult<String> {
    let mut file =
        OpenOptions::new().append(true).create(true).open(&path).note(format!("opening {path}"))?;
    file.write_all(&vec![b'x'; bytes]).note(format!("writing to {path}"))?;
    Ok(String::new())
}

/// A small file system in memory. It is gone with this value.
pub(super) struct Disk(tempfile::TempDir);

impl Disk {
    /// `None` where this process may not mount anything.
    pub(super) fn mount(options: &str) -> Option<Self> {
        let folder = crate::place::folder_in_memory();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(folder.path()).output();
        mounted.ok()?.status.success().then_some(Self(folder))
    }

    pub(super) fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing holds it but what the case has opened, and that is closed.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}
