// An agent of Credo on Node, with nothing of its own on disk: keys in memory, records in memory.
import {
  Agent,
  InjectionSymbols,
  JsonTransformer,
  Kms,
  RecordDuplicateError,
  RecordNotFoundError,
  X509Module,
} from '@credo-ts/core'
import { NodeInMemoryKeyManagementStorage, NodeKeyManagementService, agentDependencies } from '@credo-ts/node'
import { OpenId4VcModule } from '@credo-ts/openid4vc'

// Credo asks for a place of records; its own need native code.
class MemoryStorage {
  supportsCursorPagination = false
  records = new Map()

  keep(record) {
    record.updatedAt = new Date()
    const kept = { type: record.type, json: JsonTransformer.toJSON(record), tags: { ...record.getTags() } }
    this.records.set(`${record.type} ${record.id}`, structuredClone(kept))
  }

  read(recordClass, { json, tags }) {
    const record = JsonTransformer.fromJSON(structuredClone(json), recordClass)
    record.replaceTags({ ...tags })
    return record
  }

  async save(_, record) {
    if (this.records.has(`${record.type} ${record.id}`)) {
      throw new RecordDuplicateError('the record is there', { recordType: record.type })
    }
    this.keep(record)
  }

  async update(_, record) {
    if (!this.records.has(`${record.type} ${record.id}`)) this.missing(record)
    this.keep(record)
  }

  async delete(_, record) {
    if (!this.records.delete(`${record.type} ${record.id}`)) this.missing(record)
  }

  async deleteById(_, { type }, id) {
    if (!this.records.delete(`${type} ${id}`)) this.missing({ type })
  }

  async getById(_, recordClass, id) {
    const kept = this.records.get(`${recordClass.type} ${id}`)
    return kept ? this.read(recordClass, kept) : this.missing(recordClass)
  }

  async getAll(_, recordClass) {
    return this.findByQuery(_, recordClass, {})
  }

  async findByQuery(_, recordClass, query) {
    const kept = [...this.records.values()].filter(({ type, tags }) => type === recordClass.type && matches(tags, query))
    return kept.map((one) => this.read(recordClass, one))
  }

  missing({ type }) {
    throw new RecordNotFoundError('there is no such record', { recordType: type })
  }
}

function matches(tags, { $and = [], $or, $not, ...plain }) {
  const has = ([name, wanted]) => {
    if (wanted === undefined) return true
    return Array.isArray(wanted) ? wanted.every((one) => tags[name]?.includes(one)) : tags[name] === wanted
  }
  return (
    Object.entries(plain).every(has) &&
    $and.every((query) => matches(tags, query)) &&
    (!$or || $or.some((query) => matches(tags, query))) &&
    !($not && matches(tags, $not))
  )
}

// `openid4vc` are the options of Credo's module: none for a wallet.
export async function start(openid4vc) {
  const agent = new Agent({
    config: { allowInsecureHttpUrls: true, autoUpdateStorageOnStartup: true },
    dependencies: agentDependencies,
    modules: {
      storage: {
        register: (manager) => manager.registerInstance(InjectionSymbols.StorageService, new MemoryStorage()),
      },
      kms: new Kms.KeyManagementModule({
        backends: [new NodeKeyManagementService(new NodeInMemoryKeyManagementStorage())],
      }),
      x509: new X509Module(),
      openid4vc: new OpenId4VcModule(openid4vc),
    },
  })
  await agent.initialize()
  return agent
}

// A new key in the agent's keystore.
export async function key(agent, crv = 'P-256') {
  const { publicJwk } = await agent.kms.createKey({ type: { kty: 'EC', crv } })
  return Kms.PublicJwk.fromPublicJwk(publicJwk)
}

// Answers one line of JSON on standard input after another: {"do": name, ...} by {"done": ...} or
// {"failed": {...}}. Ends with its input.
export async function serve(commands, ready) {
  const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
  say({ done: ready })
  const { createInterface } = await import('node:readline')
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: name, ...rest } = JSON.parse(line)
    try {
      say({ done: (await commands[name](rest)) ?? null })
    } catch (error) {
      say({ failed: await reason(error) })
    }
  }
  process.exit(0)
}

// Why Credo, or who answered it, refused: the code of ours where the refusal is ours.
async function reason(error) {
  const texts = []
  let ours
  for (let at = error; at && texts.length < 8; at = at.cause) {
    texts.push(String(at.message ?? at))
    const response = at.response?.response ?? at.response
    const said =
      at.errorResponse ??
      at.response?.credentialErrorResponseResult?.data ??
      (response?.clone && (await response.clone().json().catch(() => undefined)))
    ours ??= said?.code
  }
  return { code: ours ?? null, text: texts.join(' | ') }
}
