// The command line as few files: loading a hundred modules would delay the start of the recorded command. The input is what tsc built,
// so types are checked before; a command is loaded when it is called. The library is dist/ as built by tsc.
import { defineConfig } from 'rolldown';

export default defineConfig({
  input: {
    main: 'dist/cli/main.js',
    'snapshot-worker': 'dist/services/snapshot-worker.js',
    'symbolize-process': 'dist/services/symbolize-process.js',
  },
  platform: 'node',
  external: ['koffi', 'fastify', 'pprof-format', /^gecko-profiler-demangle/],
  output: {
    dir: 'dist/bin',
    cleanDir: true,
    format: 'esm',
    minify: { compress: true, mangle: false, codegen: true },
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    codeSplitting: {
      groups: [
        // The kernel interface, and koffi with it, is not loaded by commands that only read files, and the detached recorder not by
        // `record`. The snapshot worker must not load it either: koffi keeps memory mapped for each thread that uses it.
        {
          name: 'recorder',
          test: /dist\/(linux|source|engine)\/(?!attach|side-band-store|pressure|file-watch|held-rings|procfs)|dist\/session\/(recording|open-source)|dist\/cli\/record|dist\/services\/(snapshot-series|series-symbols)/,
          priority: 10,
        },
        {
          name: 'common',
          test: /dist\/(base|abi|ring|protocol)\/|commander|dist\/cli\/(option-values|diagnostics|terminal)|dist\/services\/(snapshot-job|failure|clock-reading)/,
          priority: 20,
        },
      ],
    },
  },
});
