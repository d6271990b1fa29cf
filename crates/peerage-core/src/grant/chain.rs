//! The proof: links from the root of a mesh down to one key.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    Claims, Grant, GrantError, MAX_CHAIN_BYTES, MAX_LINKS,
    link::{Link, check_form},
};
use crate::{address::Address, did::Did, identity::Identity};

/// What separates the links in the text form; it occurs in no link and is allowed in an HTTP header.
const SEPARATOR: char = '~';

/// A chain of signed links, root first.
///
/// As JSON an array of strings; as text (`Display`, `FromStr`) one line with `~` between the links, fit for an HTTP header.
/// Having a `Chain` proves nothing: it has the right form and size and is **not verified** until [`Chain::verify`] says so.
///
/// ```
/// use peerage_core::{address::Address, grant::{Chain, Claims, Rights}, identity::Identity};
///
/// let (root, anna, bot) = (Identity::generate(), Identity::generate(), Identity::generate());
/// let sales: Address = "o://acme/sales".parse()?;
/// let chain = Chain::issue_root(&root, Claims {
///     sub: anna.did(), path: sales.clone(), rights: Rights::all(), nbf: 1_000, exp: 9_000, depth: 1,
/// })?;
/// let chain = chain.delegate(&anna, Claims {
///     sub: bot.did(), path: sales.child("bot")?, rights: Rights::member(), nbf: 1_000, exp: 2_000, depth: 0,
/// })?;
///
/// let grant = chain.verify(&root.did(), 1_500)?;
/// assert_eq!(grant.subject, bot.did());
/// assert_eq!(grant.name(), Some(&sales.child("bot")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Chain(Vec<String>);

impl Chain {
    /// A chain of one link: the root grants to a key.
    ///
    /// # Errors
    /// [`GrantError::Payload`] when the times make no sense, [`GrantError::LinkTooLong`].
    pub fn issue_root(root: &Identity, claims: Claims) -> Result<Self, GrantError> {
        Ok(Self(vec![Link::sign(root, claims, None)?]))
    }

    /// The chain with one more link: its subject, who must be `holder`, grants to another key.
    ///
    /// # Errors
    /// [`GrantError::NotTheHolder`], [`GrantError::TooManyLinks`], or the rule that the new link would break.
    pub fn delegate(&self, holder: &Identity, claims: Claims) -> Result<Self, GrantError> {
        let last = self.last()?;
        if last.payload.sub != holder.did() {
            return Err(GrantError::NotTheHolder {
                subject: last.payload.sub,
            });
        }
        if self.0.len() == MAX_LINKS {
            return Err(GrantError::TooManyLinks);
        }
        let mut links = self.0.clone();
        links.push(Link::sign(holder, claims, Some(&last))?);
        Ok(Self(links))
    }

    /// Checks every rule and the time (unix seconds), and gives what the chain says.
    ///
    /// # Errors
    /// The first rule that is broken, and where; see [`GrantError`].
    pub fn verify(&self, root: &Did, now: u64) -> Result<Grant, GrantError> {
        let mut links = self.verify_links(root)?;
        // Only now, so that a forged chain is never called an expired one.
        links.iter().try_for_each(|link| link.check_time(now))?;
        let ids = links.iter().map(|link| link.id).collect();
        let leaf = links.pop().ok_or(GrantError::Empty)?.payload;
        Ok(Grant {
            root: *root,
            subject: leaf.sub,
            path: leaf.path,
            rights: leaf.rights,
            not_before: leaf.nbf,
            expires: leaf.exp,
            depth: leaf.depth,
            ids,
        })
    }

    /// Checks every rule but the time.
    pub(super) fn verify_links(&self, root: &Did) -> Result<Vec<Link>, GrantError> {
        let mut links: Vec<Link> = Vec::with_capacity(self.0.len());
        for (number, text) in self.0.iter().enumerate() {
            let issuer = links.last().map_or(*root, |above| above.payload.sub);
            let link = Link::read(number, text, &issuer)?;
            match links.last() {
                None => link.check_first()?,
                Some(above) => link.check_below(above)?,
            }
            links.push(link);
        }
        Ok(links)
    }

    /// Its links, **unverified**.
    pub(super) fn peek(&self) -> Result<Vec<Link>, GrantError> {
        let links = self.0.iter().enumerate();
        links
            .map(|(number, text)| Link::peek(number, text))
            .collect()
    }

    /// The root that the chain names, **unverified**.
    ///
    /// # Errors
    /// When the first link cannot be read.
    pub fn root(&self) -> Result<Did, GrantError> {
        let first = self.0.first().ok_or(GrantError::Empty)?;
        Ok(Link::peek(0, first)?.payload.iss)
    }

    /// The key that the chain names, **unverified**.
    ///
    /// # Errors
    /// When the last link cannot be read.
    pub fn subject(&self) -> Result<Did, GrantError> {
        Ok(self.last()?.payload.sub)
    }

    /// The name that the chain gives, **unverified**.
    ///
    /// # Errors
    /// When the last link cannot be read.
    pub fn path(&self) -> Result<Address, GrantError> {
        Ok(self.last()?.payload.path)
    }

    /// The key that has given the last link, **unverified**: the root for a chain of one link.
    ///
    /// # Errors
    /// When the last link cannot be read.
    pub fn issuer(&self) -> Result<Did, GrantError> {
        Ok(self.last()?.payload.iss)
    }

    /// The links, root first.
    #[must_use]
    pub fn links(&self) -> &[String] {
        &self.0
    }

    fn last(&self) -> Result<Link, GrantError> {
        let last = self.0.last().ok_or(GrantError::Empty)?;
        Link::peek(self.0.len() - 1, last)
    }

    fn from_links(links: Vec<String>) -> Result<Self, GrantError> {
        if links.is_empty() {
            return Err(GrantError::Empty);
        }
        if links.len() > MAX_LINKS {
            return Err(GrantError::TooManyLinks);
        }
        links
            .iter()
            .enumerate()
            .try_for_each(|(number, link)| check_form(number, link))?;
        Ok(Self(links))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, link) in self.0.iter().enumerate() {
            if number > 0 {
                write!(f, "{SEPARATOR}")?;
            }
            f.write_str(link)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("links", &self.0.len())
            .field("subject", &self.subject().ok())
            .finish()
    }
}

impl FromStr for Chain {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        if text.is_empty() {
            return Err(GrantError::Empty);
        }
        if text.len() > MAX_CHAIN_BYTES {
            return Err(GrantError::ChainTooLong { bytes: text.len() });
        }
        Self::from_links(text.split(SEPARATOR).map(str::to_owned).collect())
    }
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Links;

        impl<'de> de::Visitor<'de> for Links {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of 1 to {MAX_LINKS} strings")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut array: A,
            ) -> Result<Vec<String>, A::Error> {
                let mut links = Vec::new();
                while let Some(link) = array.next_element()? {
                    if links.len() == MAX_LINKS {
                        return Err(de::Error::custom(GrantError::TooManyLinks));
                    }
                    links.push(link);
                }
                Ok(links)
            }
        }

        Self::from_links(deserializer.deserialize_seq(Links)?).map_err(de::Error::custom)
    }
}
