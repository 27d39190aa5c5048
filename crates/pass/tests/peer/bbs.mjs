// Reads one case from standard input: a key, messages, and the signature and the proof that
// realdid-pass made. Answers what @digitalbazaar/bbs-signatures thinks of them, and its own.
import {deriveProof, sign, verifyProof, verifySignature} from '@digitalbazaar/bbs-signatures';

let text = '';
for await (const part of process.stdin) {
  text += part;
}
const given = JSON.parse(text);
const bytes = hex => new Uint8Array(Buffer.from(hex, 'hex'));
const hex = array => Buffer.from(array).toString('hex');

const messages = given.messages.map(bytes);
const common = {
  ciphersuite: 'BLS12-381-SHA-256',
  publicKey: bytes(given.public_key),
  header: bytes(given.header),
};
const presentationHeader = bytes(given.presentation_header);
const disclosedMessageIndexes = given.disclosed;

const signature = await sign({...common, secretKey: bytes(given.secret_key), messages});
const proof = await deriveProof({
  ...common, signature, messages, presentationHeader, disclosedMessageIndexes,
});
console.log(JSON.stringify({
  signature_verified: await verifySignature({
    ...common, signature: bytes(given.signature), messages,
  }),
  proof_verified: await verifyProof({
    ...common,
    proof: bytes(given.proof),
    presentationHeader,
    disclosedMessages: disclosedMessageIndexes.map(index => messages[index]),
    disclosedMessageIndexes,
  }),
  signature: hex(signature),
  proof: hex(proof),
}));
