// Peer for `sdjwt_issue` and `sdjwt_verify`: @sd-jwt/sd-jwt-vc with Node's cryptography.
//
//   node sd-jwt-vc.mjs sdjwt_issue   a batch of 10 copies with 10 selectively disclosable claims,
//                                    each copy for a holder key of its own; counted in copies
//   node sd-jwt-vc.mjs sdjwt_verify  a copy with 2 of its 10 claims disclosed and a key binding:
//                                    issuer signature, disclosures, key-binding signature, audience
//                                    and nonce; every presentation has another holder key

import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";

import { ES256, digest, generateSalt } from "@sd-jwt/crypto-nodejs";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";

import { perCpuSecond, report, versionOf } from "./measure.mjs";

const COPIES = 10;
const PRESENTATIONS = 200;
const AUDIENCE = "verifier_attestation:bench";
const NONCE = "bm9uY2Ugb2YgdGhlIGJlbmNobWFyaw";
const CLAIMS = {
  family_name: "Example",
  given_name: "Person",
  birthdate: "1990-01-01",
  age_over_18: true,
  sex: "2",
  nationality: "XX",
  region: "980000",
  document_number: "X00000000",
  issuing_authority: "Example Authority",
  issuing_country: "XX",
};

// Signatures by Node's synchronous interface to OpenSSL. The package's own signer and verifier go
// through WebCrypto, which costs up to half as much processor time again: a peer gets its best.
function signerOf(jwk) {
  const key = { key: createPrivateKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" };
  return (data) => sign("sha256", Buffer.from(data), key).toString("base64url");
}

function verifierOf(jwk) {
  const key = { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" };
  return (data, signature) =>
    verify("sha256", Buffer.from(data), key, Buffer.from(signature, "base64url"));
}

const issuerKeys = await ES256.generateKeyPair();
const common = { hasher: digest, hashAlg: "sha-256", saltGenerator: generateSalt };
const issuer = new SDJwtVcInstance({
  ...common,
  signer: signerOf(issuerKeys.privateKey),
  signAlg: "ES256",
});

function issueFor(holderKey) {
  const { kty, crv, x, y } = holderKey;
  const now = Math.floor(Date.now() / 1000);
  const payload = {
    iss: "https://issuer.example",
    vct: "urn:example:pid:1",
    iat: now,
    exp: now + 3600,
    cnf: { jwk: { kty, crv, x, y } },
    ...CLAIMS,
  };
  return issuer.issue(payload, { _sd: Object.keys(CLAIMS) });
}

async function keyPairs(count) {
  return Promise.all(Array.from({ length: count }, () => ES256.generateKeyPair()));
}

async function issueCopies() {
  const holders = await keyPairs(COPIES);
  return perCpuSecond(COPIES, async () => {
    for (const holder of holders) await issueFor(holder.publicKey);
  });
}

async function verifyPresentations() {
  const presentations = [];
  for (const holder of await keyPairs(PRESENTATIONS)) {
    const wallet = new SDJwtVcInstance({
      ...common,
      kbSigner: signerOf(holder.privateKey),
      kbSignAlg: "ES256",
    });
    const credential = await issueFor(holder.publicKey);
    const iat = Math.floor(Date.now() / 1000);
    presentations.push(
      await wallet.present(
        credential,
        { age_over_18: true, nationality: true },
        { kb: { payload: { iat, aud: AUDIENCE, nonce: NONCE } } },
      ),
    );
  }
  const verifier = new SDJwtVcInstance({
    ...common,
    verifier: verifierOf(issuerKeys.publicKey),
    kbVerifier: (data, signature, payload) => verifierOf(payload.cnf.jwk)(data, signature),
  });
  return perCpuSecond(1, async (round) => {
    const presentation = presentations[round % presentations.length];
    const { payload, kb } = await verifier.verify(presentation, ["age_over_18"], true);
    const right =
      kb.payload.aud === AUDIENCE && kb.payload.nonce === NONCE && payload.age_over_18 === true;
    if (!right) throw new Error("a presentation of our own was not accepted");
  });
}

const id = process.argv[2];
const workloads = { sdjwt_issue: issueCopies, sdjwt_verify: verifyPresentations };
if (!(id in workloads)) throw new Error(`no workload ${id}; there are: ${Object.keys(workloads)}`);
const peer = `@sd-jwt/sd-jwt-vc ${await versionOf("@sd-jwt/sd-jwt-vc")}`;
const unit = id === "sdjwt_issue" ? "copies/cpu-s" : "presentations/cpu-s";
report(id, peer, await workloads[id](), unit);
