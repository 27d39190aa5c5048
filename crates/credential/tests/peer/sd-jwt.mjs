// One case on standard input: verifies a presentation of ours and makes one of its own, with
// @sd-jwt/sd-jwt-vc and Node's cryptography.

import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { text } from "node:stream/consumers";

import { digest, generateSalt } from "@sd-jwt/crypto-nodejs";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";

const signer = (jwk) => {
  const key = { key: createPrivateKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" };
  return (data) => sign("sha256", Buffer.from(data), key).toString("base64url");
};
const verifier = (jwk) => {
  const key = { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" };
  return (data, signature) =>
    verify("sha256", Buffer.from(data), key, Buffer.from(signature, "base64url"));
};
const publicOf = ({ kty, crv, x, y }) => ({ kty, crv, x, y });

const it = JSON.parse(await text(process.stdin));
const common = { hasher: digest, hashAlg: "sha-256", saltGenerator: generateSalt };

const verifying = new SDJwtVcInstance({
  ...common,
  verifier: verifier(publicOf(it.issuer)),
  kbVerifier: (data, signature, payload) => verifier(payload.cnf.jwk)(data, signature),
});
const check = async (presentation) => {
  try {
    const { payload, kb } = await verifying.verify(presentation, [], true);
    return { payload, kb: kb.payload };
  } catch (error) {
    return { refused: String(error.message) };
  }
};

const wallet = new SDJwtVcInstance({
  ...common,
  signer: signer(it.issuer),
  signAlg: "ES256",
  kbSigner: signer(it.holder),
  kbSignAlg: "ES256",
});
const credential = await wallet.issue(
  {
    iss: it.iss,
    vct: it.vct,
    iat: it.iat,
    exp: it.iat + 600,
    cnf: { jwk: publicOf(it.holder) },
    given_name: "Ada",
    nationalities: ["XA", "XB"],
    address: { region: "Somewhere", locality: "Elsewhere" },
  },
  { _sd: ["given_name", "nationalities", "address"], address: { _sd: ["region", "locality"] } },
  { header: { kid: it.kid } },
);
const theirs = await wallet.present(
  credential,
  { given_name: true, address: { region: true } },
  { kb: { payload: { iat: it.iat, aud: it.aud, nonce: it.nonce } } },
);
console.log(
  JSON.stringify({ ours: await check(it.ours), tampered: await check(it.tampered), credential, theirs }),
);
