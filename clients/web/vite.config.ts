import { type Plugin, defineConfig } from "vite";

/** What the built page may load and call; the development server needs more than this. */
function contentSecurityPolicy(target: string | undefined): Plugin {
  const policy = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "data:",
    "connect-src": target ? new URL(target).origin : "http: https:",
    "base-uri": "'none'",
    "form-action": "'none'",
  };
  const content = Object.entries(policy)
    .map(([name, sources]) => `${name} ${sources}`)
    .join("; ");
  return {
    name: "content-security-policy",
    apply: "build",
    transformIndexHtml: () => [
      {
        tag: "meta",
        attrs: { "http-equiv": "Content-Security-Policy", content },
        injectTo: "head-prepend",
      },
    ],
  };
}

export default defineConfig({
  base: "./", // so that it can be served below any path
  plugins: [contentSecurityPolicy(process.env["VITE_HEADGATE_TARGET"])],
  build: { target: "es2022", modulePreload: { polyfill: false } },
  // One origin, which Envoy can be told.
  server: { host: "127.0.0.1", port: 5173, strictPort: true },
  preview: { host: "127.0.0.1", port: 4173, strictPort: true },
});
