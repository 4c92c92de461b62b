//! Reading the files, the one place of this crate that touches the disk.

use std::path::Path;

use crate::CertError;

/// The bytes of the file at `path`.
///
/// # Errors
/// [`CertError::Read`], which names the file.
pub fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    std::fs::read(path).map_err(|source| CertError::Read { path: path.to_owned(), source })
}
