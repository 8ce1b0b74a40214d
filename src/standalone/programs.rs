//! Finds the Postgres server programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

/// `initdb` and `postgres` of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) folder: PathBuf,
    /// The major version, as in a cluster's PG_VERSION.
    pub(crate) major: u32,
}

impl Programs {
    pub(crate) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }
}

/// The oldest server whose SQL we use.
const OLDEST: u32 = 15;

/// The newest installation, or the one of version `wanted` (a cluster opens only with its own major version).
///
/// `configured` replaces the search; else the folders of PATH and Debian's `/usr/lib/postgresql/*/bin`.
///
/// # Errors
/// None found; the message names the package to install.
pub(crate) fn find(configured: &[PathBuf], path: &[PathBuf], wanted: Option<u32>) -> Result<Programs> {
    let folders: Vec<PathBuf> = if configured.is_empty() {
        path.iter().cloned().chain(debian_folders()).collect()
    } else {
        configured.to_vec()
    };
    let mut found: Vec<Programs> = folders.iter().filter_map(|folder| look_into(folder)).collect();
    found.sort_by_key(|programs| programs.major);
    found.dedup();
    if let Some(wanted) = wanted {
        return match found.into_iter().find(|programs| programs.major == wanted) {
            Some(programs) => Ok(programs),
            None => bail!(
                "the data folder's database was made by PostgreSQL {wanted}, whose server programs are not on this machine; \
                 install the package `postgresql-{wanted}`, or choose another folder with --data-dir"
            ),
        };
    }
    match found.pop() {
        Some(programs) if programs.major >= OLDEST => Ok(programs),
        Some(programs) => bail!(
            "the newest PostgreSQL server found is {} (in {}); {OLDEST} or newer is needed: install the package `postgresql`, \
             or use an existing server with --database-url",
            programs.major,
            programs.folder.display()
        ),
        None => {
            let searched = if configured.is_empty() {
                "neither PATH nor /usr/lib/postgresql/*/bin has".to_owned()
            } else {
                format!("core.postgres_bin_dirs ({}) does not have", list(configured))
            };
            bail!(
                "no PostgreSQL server programs found: {searched} `initdb` and `postgres`; install the package `postgresql` \
                 (Debian, Ubuntu: apt-get install postgresql), or use an existing server with --database-url"
            )
        }
    }
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn debian_folders() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path().join("bin")).collect()
}

fn look_into(folder: &Path) -> Option<Programs> {
    let programs = Programs { folder: folder.to_owned(), major: 0 };
    if !programs.initdb().is_file() || !programs.postgres().is_file() {
        return None;
    }
    let output = Command::new(programs.postgres()).arg("--version").output().ok()?;
    let major = major(&String::from_utf8_lossy(&output.stdout))?;
    Some(Programs { major, ..programs })
}

/// 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, 18 of `postgres (PostgreSQL) 18beta1`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn absence_names_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(&[folder.path().to_owned()], &[], None).unwrap_err().to_string();
        assert!(error.contains("install the package `postgresql`"), "{error}");
    }

    #[test]
    fn a_cluster_of_an_absent_version_names_that_package() {
        let error = find(&[], &[], Some(9)).unwrap_err().to_string();
        assert!(error.contains("`postgresql-9`"), "{error}");
    }
}
