//! Whom we believe: the CAs of a bundle, less what their revocation lists take back.
//!
//! One question, asked of a chain and a moment. It is asked in every handshake, and again of chains that are in use
//! whenever this changes, so it is a value that asks nobody and keeps nothing.
//!
//! A CA without a list has revoked nothing that we know of; a list past its `nextUpdate` still revokes what is on it.
//! Refusing everybody in those cases would let a list that nobody renewed take every sidecar down. Instead a list that no CA
//! of the bundle has signed is not taken at all, and the age of lists is there to be watched.

use std::time::{Duration, SystemTime};

use rustls::DistinguishedName;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList as ReadList;

use crate::leaf::{self, NamelessError, Validity};
use crate::refusal::Refusal;
use crate::spiffe::SpiffeId;
use crate::{CertError, pem};

/// The part that whoever shows a certificate has in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It connected.
    Client,
    /// It was connected to.
    Server,
}

/// What is asked of a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// All that is asked of whoever shows it.
    Whole,
    /// Whose it is, whatever the lists and the time say.
    Signatures,
}

/// A trust bundle and its revocation lists.
#[derive(Debug)]
pub struct Trust {
    anchors: Vec<Anchor>,
    lists: Vec<List>,
    next_update: Option<SystemTime>,
    hints: Vec<DistinguishedName>,
}

/// A CA of the bundle. webpki does not look at how long it holds, for it takes an anchor to be a name and a key.
#[derive(Debug)]
struct Anchor {
    anchor: TrustAnchor<'static>,
    /// What it is called, for people.
    name: String,
    validity: Validity,
}

impl Anchor {
    /// Whether it may vouch for anybody at `now`.
    fn holds(&self, now: UnixTime) -> Result<(), Refusal> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        match &self.validity {
            validity if validity.is_over(now) => Err(Refusal::AuthorityExpired),
            validity if validity.is_to_come(now) => Err(Refusal::AuthorityNotYetValid),
            _ => Ok(()),
        }
    }
}

/// A revocation list, and which of the CAs it may be held against.
#[derive(Debug)]
struct List {
    list: CertRevocationList<'static>,
    /// By their places: those that have signed it, and those that are called otherwise. A CA that got a new key under its
    /// old name has lists of its own.
    concerns: Vec<bool>,
}

impl Trust {
    /// The CAs of `bundle_pem`, and the revocation lists in `crls`, each PEM or DER.
    ///
    /// # Errors
    /// If the bundle has no CA, if anything cannot be read, or if a list was not signed by a CA of the bundle.
    pub fn new(bundle_pem: &[u8], crls: &[impl AsRef<[u8]>]) -> Result<Self, CertError> {
        let roots = pem::certificates(bundle_pem)?;
        let mut trust = Self { anchors: Vec::new(), lists: Vec::new(), next_update: None, hints: Vec::new() };
        for (at, root) in roots.iter().enumerate() {
            let number = at + 1;
            let anchor = anchor_from_trusted_cert(root).map_err(|source| CertError::BadAuthority { number, source })?;
            let read = leaf::read(root).ok_or(CertError::UnreadableAuthority { number })?;
            if !read.is_ca() {
                return Err(CertError::NotAnAuthority { number });
            }
            let validity = leaf::validity(root).ok_or(CertError::UnreadableAuthority { number })?;
            let name = read.subject().to_string();
            trust.anchors.push(Anchor { anchor: anchor.to_owned(), name, validity });
            trust.hints.push(DistinguishedName::in_sequence(&anchor.subject));
        }
        for crl in crls {
            for der in pem::revocation_lists(crl.as_ref())? {
                trust.add_list(&roots, &der)?;
            }
        }
        Ok(trust)
    }

    fn add_list(
        &mut self,
        roots: &[CertificateDer<'_>],
        der: &CertificateRevocationListDer<'_>,
    ) -> Result<(), CertError> {
        let list = OwnedCertRevocationList::from_der(der).map_err(|source| CertError::BadList { source })?;
        let (_, read) = ReadList::from_der(der).map_err(|_| CertError::UnreadableList)?;
        let (mut concerns, mut is_signed) = (Vec::with_capacity(roots.len()), false);
        for (at, root) in roots.iter().enumerate() {
            let ca = leaf::read(root).ok_or(CertError::UnreadableAuthority { number: at + 1 })?;
            let namesake = ca.subject().as_raw() == read.issuer().as_raw();
            let signs = namesake && read.verify_signature(ca.public_key()).is_ok();
            is_signed |= signs;
            concerns.push(signs || !namesake);
        }
        if !is_signed {
            return Err(CertError::ForeignList { issuer: read.issuer().to_string() });
        }
        self.lists.push(List { list: CertRevocationList::Owned(list), concerns });
        let next = read.next_update().map(leaf::time);
        self.next_update = [self.next_update, next].into_iter().flatten().min();
        Ok(())
    }

    /// Whether `chain`, leaf first, holds at `now` for whoever shows it as `role`, and whose it is.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, chain: &[CertificateDer<'_>], role: Role, now: UnixTime) -> Result<SpiffeId, Refusal> {
        self.verify_until(chain, role, now).map(|(id, _)| id)
    }

    /// The same, and the last moment for which it holds if nothing else changes.
    ///
    /// # Errors
    /// Why not.
    pub fn verify_until(
        &self,
        chain: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<(SpiffeId, SystemTime), Refusal> {
        let (id, vouched_until) = self.verify_with(chain, role, now, Asked::Whole)?;
        let shown = leaf::validity_of_all(chain).ok_or(Refusal::Nameless(NamelessError::Unreadable))?;
        Ok((id, vouched_until.min(shown.not_after)))
    }

    /// The same but for the lists and the clock: whether a CA of the bundle has signed `chain` at all.
    pub(crate) fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> Result<(), Refusal> {
        let begins = leaf::validity_of_all(chain).ok_or(Refusal::Nameless(NamelessError::Unreadable))?.not_before;
        let since = begins.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        for role in [Role::Client, Role::Server] {
            self.verify_with(chain, role, UnixTime::since_unix_epoch(since), Asked::Signatures)?;
        }
        Ok(())
    }

    fn verify_with(
        &self,
        chain: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
        asked: Asked,
    ) -> Result<(SpiffeId, SystemTime), Refusal> {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(Refusal::Nameless(NamelessError::Unreadable));
        };
        let usage = match role {
            Role::Client => KeyUsage::client_auth(),
            Role::Server => KeyUsage::server_auth(),
        };
        let certificate = EndEntityCert::try_from(end_entity)?;
        let mut verdict = Err(Refusal::UnknownIssuer);
        for (at, anchor) in self.anchors.iter().enumerate() {
            let concerning = self.lists.iter().filter(|list| asked == Asked::Whole && list.concerns[at]);
            let lists: Vec<_> = concerning.map(|list| &list.list).collect();
            let verified = certificate.verify_for_usage(
                crate::provider().signature_verification_algorithms.all,
                std::slice::from_ref(&anchor.anchor),
                intermediates,
                now,
                usage,
                revocation(&lists),
                None,
            );
            let holds = || if asked == Asked::Whole { anchor.holds(now) } else { Ok(()) };
            match verified.map_err(Refusal::from).and_then(|_| holds()) {
                // Revoked is revoked, whoever else may vouch for it.
                Err(Refusal::Revoked) => return Err(Refusal::Revoked),
                // Of several that vouch for it, the last to go counts.
                Ok(()) => verdict = Ok(anchor.validity.not_after.max(verdict.unwrap_or(SystemTime::UNIX_EPOCH))),
                Err(Refusal::UnknownIssuer) => {}
                Err(refusal) => verdict = verdict.map_err(|_| refusal),
            }
        }
        let vouched_until = verdict?;
        leaf::identity(end_entity).map(|id| (id, vouched_until)).map_err(Refusal::Nameless)
    }

    /// The CAs: what each is called, and from when to when it may vouch for others.
    pub fn authorities(&self) -> impl Iterator<Item = (&str, Validity)> {
        self.anchors.iter().map(|anchor| (anchor.name.as_str(), anchor.validity))
    }

    /// When the first part of it should have been replaced: a list, or a CA.
    #[must_use]
    pub fn due(&self) -> Option<SystemTime> {
        let authorities = self.anchors.iter().map(|anchor| anchor.validity.not_after);
        authorities.chain(self.next_update).min()
    }

    /// When the first of the lists should have been replaced by a newer one.
    #[must_use]
    pub fn lists_next_update(&self) -> Option<SystemTime> {
        self.next_update
    }

    /// How many revocation lists there are.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.lists.len()
    }

    /// The CAs' names, which tell a client what certificates are asked for.
    pub(crate) fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }
}

fn revocation<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let options = RevocationOptionsBuilder::new(lists).ok()?;
    let options = options
        .with_depth(RevocationCheckDepth::Chain)
        .with_status_policy(UnknownStatusPolicy::Allow)
        .with_expiration_policy(ExpirationPolicy::Ignore);
    Some(options.build())
}
