// Bundles what the package ships, dist/bin: the command line, the library's entry points, and the declarations that
// their types reach. Loading a hundred modules would delay the start of a recorded command. The input is what tsc built
// in dist/.
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { defineConfig } from 'rolldown';

const LIBRARY = { 'library/check': 'dist/check/index.js' };

export default defineConfig({
  input: {
    main: 'dist/cli/main.js',
    'snapshot-worker': 'dist/services/snapshot-worker.js',
    'symbolize-process': 'dist/services/symbolize-process.js',
    ...LIBRARY,
  },
  platform: 'node',
  external: ['koffi', 'fastify', 'pprof-format', /^gecko-profiler-demangle/],
  plugins: [declarations(Object.values(LIBRARY))],
  output: {
    dir: 'dist/bin',
    cleanDir: true,
    format: 'esm',
    minify: { compress: true, mangle: false, codegen: true },
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    codeSplitting: {
      groups: [
        // The kernel interface, and koffi with it, is not loaded by commands that only read files, and the detached
        // recorder not by `record`. The snapshot worker must not load it either: koffi keeps memory mapped for each
        // thread that uses it.
        {
          name: 'recorder',
          test: anyOf(
            'dist/(linux|source|engine)/(?!attach|side-band-store|pressure|file-watch|held-rings|procfs)',
            'dist/session/(recording|open-source)',
            'dist/cli/record',
            'dist/services/(recorded-command|signal-forwarder|jit-maps|node-command|snapshot-series|series-symbols)',
          ),
          priority: 10,
        },
        // Shared with the library, which does not load the command line.
        { name: 'base', test: /dist\/(base|protocol)\//, priority: 25 },
        {
          name: 'common',
          test: anyOf(
            'dist/(abi|ring)/',
            // These only read files, without koffi.
            'dist/linux/(clock|proc|regular-file)\\.',
            'commander',
            'dist/cli/(option-values|diagnostics|terminal)',
            'dist/services/(snapshot-job|failure|clock-reading)',
          ),
          priority: 20,
        },
      ],
    },
  },
});

function anyOf(...patterns) {
  return new RegExp(patterns.join('|'));
}

/** Copies the declarations of `entries`, and all that they import, to types/. */
function declarations(entries) {
  return {
    name: 'declarations',
    generateBundle() {
      const paths = new Set(entries.map((entry) => entry.replace(/\.js$/, '.d.ts')));
      for (const path of paths) {
        const source = readFileSync(path, 'utf8');
        for (const [, imported] of source.matchAll(/(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g))
          paths.add(join(dirname(path), imported).replace(/\.[jt]s$/, '.d.ts'));
        this.emitFile({ type: 'asset', fileName: join('types', relative('dist', path)), source });
      }
    },
  };
}
