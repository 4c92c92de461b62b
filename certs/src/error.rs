//! Why certificates or keys were refused.

use std::path::PathBuf;

use rustls::pki_types::pem;

/// What is wrong with certificates or keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertError {
    /// A file could not be read.
    #[error("{} cannot be read: see that it is there and that adumbra may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The text has sections that are not PEM.
    #[error("the {what} is damaged: its PEM cannot be read, so copy it again")]
    Pem {
        /// What was being read.
        what: &'static str,
        /// Where it breaks.
        #[source]
        source: pem::Error,
    },
    /// No certificate where one must be.
    #[error("there is no certificate in it: a `-----BEGIN CERTIFICATE-----` section is what it takes")]
    NoCertificate,
    /// No private key where one must be.
    #[error("there is no private key in it: a `-----BEGIN PRIVATE KEY-----` section is what it takes")]
    NoKey,
    /// A private key that only a passphrase opens.
    #[error("the private key is encrypted, and nobody is there to type its passphrase: `openssl pkey` decrypts it")]
    EncryptedKey,
    /// A certificate that is not one inside.
    #[error("certificate {number} of the file is not an X.509 certificate")]
    BadCertificate {
        /// Which one of the file, from 1.
        number: usize,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// A key of a kind that is not supported.
    #[error("the private key cannot be used: it should be ECDSA P-256 or P-384, Ed25519, or RSA from 2048 bits up")]
    BadKey {
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// The two were not made for each other.
    #[error("the private key does not belong to the certificate: the certificate must be the first one of its file")]
    KeyMismatch,
    /// A leaf that rustls takes and x509-parser does not.
    #[error("the certificate cannot be read: it is damaged, or of a kind that nobody should issue")]
    UnreadableCertificate,
    /// A certificate of a trust bundle that is not one inside.
    #[error("certificate {number} of the trust bundle is not an X.509 certificate")]
    BadAuthority {
        /// Which one of the file, from 1.
        number: usize,
        /// What webpki says.
        #[source]
        source: webpki::Error,
    },
    /// The same, without a word of what is wrong.
    #[error("certificate {number} of the trust bundle cannot be read: copy it again")]
    UnreadableAuthority {
        /// Which one of the file, from 1.
        number: usize,
    },
    /// A certificate of a trust bundle that may not sign others.
    #[error(
        "certificate {number} of the trust bundle is not a CA's: the bundle takes those that sign, not what they sign"
    )]
    NotAnAuthority {
        /// Which one of the file, from 1.
        number: usize,
    },
    /// A file of revocation lists without any.
    #[error("there is no revocation list in it: a `-----BEGIN X509 CRL-----` section is what it takes, or DER")]
    NoList,
    /// A revocation list that is not one inside.
    #[error("it is not an X.509 revocation list, or of a kind that is not supported")]
    BadList {
        /// What webpki says.
        #[source]
        source: webpki::Error,
    },
    /// The same, without a word of what is wrong.
    #[error("the revocation list cannot be read: copy it again")]
    UnreadableList,
    /// A revocation list of a CA that is not trusted.
    #[error("no CA of the trust bundle has signed the revocation list of `{issuer}`: it would revoke nothing")]
    ForeignList {
        /// Who it says has signed it.
        issuer: String,
    },
    /// An own certificate that nobody who trusts the same would believe.
    #[error("others who trust this bundle would not believe this certificate")]
    NotVouchedFor {
        /// Why not.
        #[source]
        source: Box<crate::Refusal>,
    },
}
