// One case on standard input: verifies a presentation of ours and makes a credential and a
// presentation of its own, with @animo-id/mdoc and Node's cryptography.

import { X509Certificate, createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from "node:crypto";
import { text } from "node:stream/consumers";

import { DataItem, DeviceResponse, Document, MDoc, Verifier, cborEncode } from "@animo-id/mdoc";

const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const publicOf = ({ kty, crv, x, y }) => ({ kty, crv, x, y });
const certificate = (der) => new X509Certificate(Buffer.from(der));

const context = {
  crypto: {
    random: (length) => new Uint8Array(randomBytes(length)),
    digest: ({ bytes }) => new Uint8Array(createHash("sha256").update(bytes).digest()),
    calculateEphemeralMacKeyJwk: () => {
      throw new Error("nobody asks for a MAC");
    },
  },
  cose: {
    sign1: {
      sign: ({ sign1, jwk }) => {
        const key = createPrivateKey({ key: jwk, format: "jwk" });
        const { data } = sign1.getRawSigningData();
        return new Uint8Array(sign("sha256", data, { key, dsaEncoding: "ieee-p1363" }));
      },
      verify: ({ sign1, jwk, options }) => {
        const key = createPublicKey({ key: publicOf(jwk), format: "jwk" });
        const { data, signature } = sign1.getRawVerificationData(options);
        return verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature);
      },
    },
  },
  x509: {
    getIssuerNameField: ({ certificate: der, field }) =>
      certificate(der)
        .issuer.split("\n")
        .filter((line) => line.startsWith(`${field}=`))
        .map((line) => line.slice(field.length + 1)),
    getPublicKey: ({ certificate: der }) => certificate(der).publicKey.export({ format: "jwk" }),
    validateCertificateChain: ({ trustedCertificates, x5chain }) => {
      if (hex(x5chain[0]) !== hex(trustedCertificates[0])) throw new Error("another issuer");
    },
    getCertificateData: ({ certificate: der }) => {
      const it = certificate(der);
      return {
        issuerName: it.issuer,
        subjectName: it.subject,
        serialNumber: it.serialNumber,
        thumbprint: it.fingerprint256,
        notBefore: new Date(it.validFrom),
        notAfter: new Date(it.validTo),
        pem: it.toString(),
      };
    },
  },
};

const it = JSON.parse(await text(process.stdin));
const leaf = bytes(it.certificate);
const transcript = cborEncode(new DataItem({ buffer: bytes(it.transcript) }));

const check = async (presentation) => {
  try {
    const mdoc = await new Verifier().verifyDeviceResponse(
      {
        encodedDeviceResponse: bytes(presentation),
        encodedSessionTranscript: transcript,
        trustedCertificates: [leaf],
      },
      context,
    );
    const [document] = mdoc.documents;
    return { docType: document.docType, elements: Object.fromEntries(document.getIssuerNameSpace(it.space)) };
  } catch (error) {
    return { refused: String(error.message) };
  }
};

const signed = new Date(it.now * 1000);
const document = await new Document(it.doc_type, context)
  .addIssuerNameSpace(it.space, { given_name: "Ada", nationality: ["XA", "XB"], age_over_18: true })
  .useDigestAlgorithm("SHA-256")
  .addValidityInfo({ signed, validFrom: signed, validUntil: new Date((it.now + 600) * 1000) })
  .addDeviceKeyInfo({ deviceKey: publicOf(it.device) })
  .sign({ issuerPrivateKey: it.issuer, issuerCertificate: leaf, alg: "ES256" }, context);
const mdoc = new MDoc([document]);
const asked = {
  id: "one",
  input_descriptors: [
    {
      id: it.doc_type,
      format: { mso_mdoc: { alg: ["ES256"] } },
      constraints: {
        limit_disclosure: "required",
        fields: [{ path: [`$['${it.space}']['given_name']`], intent_to_retain: false }],
      },
    },
  ],
};
const theirs = await DeviceResponse.from(mdoc)
  .usingPresentationDefinition(asked)
  .usingSessionTranscriptBytes(transcript)
  .authenticateWithSignature(it.device, "ES256")
  .sign(context);
console.log(
  JSON.stringify({
    ours: await check(it.ours),
    tampered: await check(it.tampered),
    credential: hex(cborEncode(document.prepare().get("issuerSigned"))),
    theirs: hex(theirs.encode()),
  }),
);
