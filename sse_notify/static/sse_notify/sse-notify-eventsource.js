var x="hello notification update remove ping reset lost bye progress message next".split(" ");function E(i,p,m=fetch){let{signal:u}=p,o=new EventSource(`${i}${i.includes("?")?"&":"?"}transport=eventsource`),c=[],f="",t={},h=()=>{},v=!1,d=e=>{c.push(e),h()},l=e=>"data"in e,w=e=>{let{type:n,data:s,lastEventId:a}=e;if(!l(e))return;if(n==="next"&&t.event!=="next"){t=JSON.parse(s),g(t.event);return}let r=[`event: ${n}`,`data: ${s.replaceAll(`
`,`
data: `)}`];t.topic&&r.push(`topic: ${t.topic}`),a!==f&&r.push(`id: ${a}`),f=a,t={},d(`${r.join(`
`)}

`)},g=e=>o.addEventListener(e,w),$=async()=>{for(;!c.length;)await new Promise(n=>{h=()=>n(void 0)});let e=c.shift();return{done:e===void 0,value:e}};for(let e of x)g(e);return new Promise((e,n)=>{u.addEventListener("abort",()=>{o.close(),d(),n(u.reason)}),o.onopen=s=>{if(l(s))return;v=!0;let r={ok:!0,status:200,headers:new Headers({"Content-Type":"text/event-stream"}),body:{getReader:()=>({read:$})}};e(r)},o.onerror=s=>{l(s)||(o.close(),d(),v||e(m(i,{mode:"same-origin",...p})))}})}export{E as open};
//# sourceMappingURL=sse-notify-eventsource.js.map
