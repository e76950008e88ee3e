// The import table of docs/ARCHITECTURE.md, as rules. A room may import itself, the rooms named here, Node's own
// modules and the packages of package.json; a pure room may not import Node's I/O either.
const table = {
  base: [],
  abi: ['base'],
  ring: ['base', 'abi'],
  protocol: ['base'],
  linux: ['base', 'abi'],
  source: ['base', 'abi', 'linux'],
  engine: ['base', 'abi', 'ring', 'protocol', 'source', 'linux'],
  triggers: ['base', 'abi', 'engine', 'source', 'linux'],
  session: ['base', 'abi', 'ring', 'engine', 'triggers', 'source', 'linux', 'snapshot'],
  'perf-data': ['base', 'abi'],
  snapshot: ['base', 'abi', 'ring', 'linux', 'perf-data'],
  symbols: ['base', 'abi', 'linux'],
  schedule: ['base', 'abi', 'perf-data'],
  'post-mortem': ['base', 'abi', 'perf-data', 'schedule'],
  export: ['base', 'abi', 'perf-data', 'schedule', 'symbols'],
  sim: ['base', 'protocol'],
  check: ['base', 'protocol', 'sim'],
  services: [
    ...['base', 'abi', 'ring', 'linux', 'engine', 'session', 'snapshot', 'symbols'],
    ...['perf-data', 'schedule', 'post-mortem', 'sim'],
  ],
  daemon: ['base', 'services', 'session', 'triggers', 'engine', 'snapshot', 'source', 'linux'],
};
const pure = ['base', 'abi', 'ring', 'protocol', 'perf-data', 'schedule', 'post-mortem', 'export', 'sim', 'check'];

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphan-room',
      severity: 'error',
      from: { path: `^src/(?!(${Object.keys(table).join('|')}|cli)/|index\\.ts|tidy\\.test\\.ts)` },
      to: {},
    },
    ...Object.entries(table).map(([room, allowed]) => ({
      name: `${room}-imports-its-table-only`,
      severity: 'error',
      from: { path: `^src/${room}/` },
      to: {
        path: '^src/',
        pathNot: [`^src/(${[room, ...allowed].join('|')})/`, '^src/[a-z-]+/testing/'],
      },
    })),
    {
      name: 'pure-rooms-do-no-io',
      severity: 'error',
      from: { path: `^src/(${pure.join('|')})/`, pathNot: '\\.test\\.ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'only-linux-calls-the-kernel',
      severity: 'error',
      from: { pathNot: '^src/linux/' },
      to: { path: 'node_modules/koffi' },
    },
    {
      name: 'tests-are-not-imported',
      severity: 'error',
      from: { pathNot: '\\.test\\.ts$' },
      to: { path: '\\.test\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
