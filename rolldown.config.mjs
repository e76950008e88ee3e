// The command line as few files: Node takes longer to find and compile a hundred modules than `record` takes to begin. What tsc built is
// the source, so the types are checked before; commands are still loaded when they are called. Library users get dist/ as it is.
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
        // What touches the kernel, and with it koffi, is not for commands that read a file; what only a detached recorder has is not
        // for `record`. Nor is it for the thread that writes a snapshot: koffi maps memory for each thread it is used in, and keeps it.
        {
          name: 'recorder',
          test: /dist\/(linux|source|engine)\/(?!attach|side-band-store|pressure|file-watch|held-rings|procfs)|dist\/session\/(recording|open-source)|dist\/cli\/record|dist\/services\/(snapshot-series|series-symbols)/,
          priority: 10,
        },
        {
          name: 'common',
          test: /dist\/(base|abi|ring|protocol)\/|commander|dist\/cli\/(option-values|diagnostics|terminal)|dist\/services\/snapshot-job/,
          priority: 20,
        },
      ],
    },
  },
});
