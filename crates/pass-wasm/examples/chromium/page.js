// Makes as many presentations as the task says, each timed, and hands them in. Whatever goes wrong is
// handed in as words.
import init, { Holder } from "./pass.js";

const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

async function work() {
  const task = await (await fetch("task")).json();
  await init({ module_or_path: "pass_bg.wasm" });
  const begun = performance.now();
  const holder = new Holder(
    bytes(task.key),
    bytes(task.terms),
    task.messages,
    bytes(task.seed),
    bytes(task.credential),
  );
  const open_ms = performance.now() - begun;
  const service = bytes(task.service);
  const shown = Uint32Array.from(task.shown);
  const proofs = [];
  const prove_ms = [];
  for (const binding of task.bindings) {
    const from = performance.now();
    const proof = holder.present(service, shown, bytes(binding));
    prove_ms.push(performance.now() - from);
    proofs.push(hex(proof));
  }
  return { open_ms, prove_ms, proofs, pseudonym: hex(holder.pseudonym(service)) };
}

const done = await work().catch((error) => ({ error: String(error) }));
await fetch("done", { method: "POST", body: JSON.stringify(done) });
