package signal

import (
	"strings"
	"testing"
)

// sentences were written for this test, with 40 characters or more each, but where
// three bytes are one. Some of their words came into the lexicon with its content
// words afterwards; without those 0.942 were told right.
var sentences = map[string]string{
	"en": `The museum closes at five, but the garden stays open until sunset.
How would you describe the taste of an orange to someone who never ate one?
Summarise the attached report in three short bullet points for my boss.
My landlord refuses to repair the heating; which rights do I have in Scotland?
Yesterday evening the ferry was delayed because of heavy fog near the harbour.`,
	"de": `Der Zug nach Hamburg fährt heute leider erst gegen halb neun ab.
Fasse den angehängten Bericht bitte in drei kurzen Stichpunkten zusammen.
Welche Unterlagen brauche ich, um mein Auto umzumelden?
Gestern Abend haben wir am See gesessen und den Sternen zugesehen.
Mein Vermieter weigert sich, die Heizung zu reparieren, obwohl es kalt ist.`,
	"fr": `Le train pour Lyon partira malheureusement avec une demi-heure de retard.
Peux-tu résumer ce rapport en trois phrases courtes pour mon patron ?
Quels papiers faut-il apporter à la mairie pour changer d'adresse ?
Hier soir, nous avons marché le long de la rivière jusqu'au vieux pont.
Mon propriétaire refuse de réparer le chauffage alors qu'il fait très froid.`,
	"es": `El tren a Sevilla sale hoy con media hora de retraso por las obras.
¿Puedes resumir este informe en tres frases cortas para mi jefe?
Necesito saber qué documentos hay que llevar al ayuntamiento.
Anoche caminamos junto al río hasta llegar al puente viejo.
El dueño del piso no quiere arreglar la calefacción aunque hace mucho frío.`,
	"pt": `O comboio para o Porto vai sair com meia hora de atraso por causa da chuva.
Você pode resumir este relatório em três frases curtas para o meu chefe?
Quais documentos preciso levar para renovar a carteira de motorista?
Ontem à noite caminhamos ao longo do rio até a ponte antiga.
O dono do apartamento não quer consertar o aquecimento apesar do frio.`,
	"it": `Il treno per Bologna parte purtroppo con mezz'ora di ritardo stamattina.
Puoi riassumere questa relazione in tre frasi brevi per il mio capo?
Quali documenti servono per cambiare la residenza in comune?
Ieri sera abbiamo camminato lungo il fiume fino al vecchio ponte.
Il padrone di casa non vuole riparare il riscaldamento anche se fa freddo.`,
	"nl": `De trein naar Utrecht vertrekt vandaag helaas een half uur later.
Kun je dit verslag in drie korte zinnen samenvatten voor mijn baas?
Welke papieren heb ik nodig om mijn rijbewijs te verlengen?
Gisteravond liepen we langs de rivier tot aan de oude brug.
Mijn huisbaas weigert de verwarming te repareren terwijl het vriest.`,
	"sv": `Tåget till Göteborg avgår tyvärr en halvtimme senare än planerat idag.
Kan du sammanfatta den här rapporten i tre korta meningar åt min chef?
Vilka papper behöver jag för att förnya mitt körkort?
Igår kväll gick vi längs floden ända till den gamla bron.
Min hyresvärd vägrar att laga värmen trots att det är kallt ute.`,
	"da": `Toget til Aarhus kører desværre en halv time senere end planlagt i dag.
Kan du sammenfatte denne rapport i tre korte sætninger til min chef?
Hvilke papirer har jeg brug for, hvis jeg vil forny mit kørekort?
I går aftes gik vi langs floden helt hen til den gamle bro.
Min udlejer nægter at reparere varmen, selvom det er blevet meget koldt.`,
	"no": `Toget til Bergen går dessverre en halv time senere enn planlagt i dag.
Kan du oppsummere denne rapporten i tre korte setninger for sjefen min?
Hvilke papirer trenger jeg hvis jeg vil fornye førerkortet mitt?
I går kveld gikk vi langs elva helt bort til den gamle brua.
Husverten min nekter å reparere varmen selv om det har blitt veldig kaldt.`,
	"fi": `Juna Tampereelle lähtee tänään valitettavasti puoli tuntia myöhässä.
Voitko tiivistää tämän raportin kolmeen lyhyeen lauseeseen esimiehelleni?
Mitä papereita tarvitsen, kun haluan uusia ajokorttini?
Eilen illalla kävelimme joen vartta pitkin vanhalle sillalle asti.
Vuokranantajani kieltäytyy korjaamasta lämmitystä, vaikka ulkona on kylmä.`,
	"pl": `Pociąg do Krakowa odjedzie dziś niestety z półgodzinnym opóźnieniem.
Czy możesz streścić ten raport w trzech krótkich zdaniach dla mojego szefa?
Jakie dokumenty są potrzebne, żeby przedłużyć prawo jazdy?
Wczoraj wieczorem spacerowaliśmy wzdłuż rzeki aż do starego mostu.
Właściciel mieszkania nie chce naprawić ogrzewania, choć jest bardzo zimno.`,
	"cs": `Vlak do Brna dnes bohužel odjede s půlhodinovým zpožděním.
Můžeš tuto zprávu shrnout do tří krátkých vět pro mého šéfa?
Jaké doklady potřebuji, když si chci prodloužit řidičský průkaz?
Včera večer jsme šli podél řeky až ke starému mostu.
Majitel bytu odmítá opravit topení, i když je venku velká zima.`,
	"sk": `Vlak do Košíc dnes bohužiaľ odíde s polhodinovým meškaním.
Môžeš túto správu zhrnúť do troch krátkych viet pre môjho šéfa?
Aké doklady potrebujem, keď si chcem predĺžiť vodičský preukaz?
Včera večer sme kráčali popri rieke až k starému mostu.
Majiteľ bytu odmieta opraviť kúrenie, hoci je vonku veľká zima.`,
	"hu": `A debreceni vonat ma sajnos fél óra késéssel indul a felújítás miatt.
Össze tudnád foglalni ezt a jelentést három rövid mondatban a főnökömnek?
Milyen iratokra van szükségem, ha meg akarom hosszabbítani a jogosítványomat?
Tegnap este végigsétáltunk a folyó mentén egészen a régi hídig.
A lakás tulajdonosa nem hajlandó megjavítani a fűtést, pedig nagyon hideg van.`,
	"ro": `Trenul spre Cluj pleacă astăzi, din păcate, cu o jumătate de oră întârziere.
Poți să rezumi acest raport în trei propoziții scurte pentru șeful meu?
Ce acte îmi trebuie ca să-mi reînnoiesc permisul de conducere?
Aseară ne-am plimbat de-a lungul râului până la podul cel vechi.
Proprietarul nu vrea să repare căldura, deși afară este foarte frig.`,
	"tr": `Ankara treni bugün maalesef yarım saat gecikmeli kalkacak.
Bu raporu patronum için üç kısa cümleyle özetleyebilir misin?
Ehliyetimi yenilemek için hangi belgelere ihtiyacım var?
Dün akşam nehir boyunca eski köprüye kadar yürüdük.
Ev sahibim hava çok soğuk olduğu halde kaloriferi tamir etmiyor.`,
	"vi": `Chuyến tàu đi Huế hôm nay rất tiếc sẽ khởi hành muộn nửa tiếng.
Bạn có thể tóm tắt báo cáo này trong ba câu ngắn cho sếp của tôi không?
Tôi cần những giấy tờ gì để gia hạn bằng lái xe?
Tối qua chúng tôi đi dọc bờ sông đến tận cây cầu cũ.
Chủ nhà không chịu sửa lò sưởi mặc dù ngoài trời rất lạnh.`,
	"id": `Kereta ke Bandung hari ini sayangnya berangkat terlambat setengah jam.
Bisakah kamu meringkas laporan ini dalam tiga kalimat pendek untuk atasan saya?
Dokumen apa saja yang saya perlukan untuk memperpanjang SIM?
Tadi malam kami berjalan di sepanjang sungai sampai ke jembatan tua.
Pemilik rumah menolak memperbaiki pemanas padahal udaranya dingin sekali.`,
	"hr": `Vlak za Split danas nažalost kreće s pola sata zakašnjenja.
Možeš li sažeti ovo izvješće u tri kratke rečenice za mog šefa?
Koji su mi dokumenti potrebni ako želim produžiti vozačku dozvolu?
Sinoć smo šetali uz rijeku sve do starog mosta.
Vlasnik stana ne želi popraviti grijanje iako je vani jako hladno.`,
	"sl": `Vlak za Maribor danes žal odpelje s polurno zamudo zaradi del na progi.
Ali lahko povzameš to poročilo v treh kratkih stavkih za mojega šefa?
Katere dokumente potrebujem, če želim podaljšati vozniško dovoljenje?
Sinoči smo se sprehajali ob reki vse do starega mostu.
Lastnik stanovanja noče popraviti ogrevanja, čeprav je zunaj zelo mrzlo.`,
	"et": `Rong Tartusse väljub täna kahjuks pool tundi hiljem.
Kas sa saad selle aruande mu ülemuse jaoks kolme lühikese lausega kokku võtta?
Milliseid dokumente mul on vaja, kui ma tahan juhiluba pikendada?
Eile õhtul jalutasime mööda jõe kallast kuni vana sillani.
Korteri omanik ei taha kütet parandada, kuigi väljas on väga külm.`,
	"lv": `Vilciens uz Liepāju šodien diemžēl aties ar pusstundas kavēšanos.
Vai tu vari apkopot šo ziņojumu trīs īsos teikumos manam priekšniekam?
Kādi dokumenti man ir vajadzīgi, lai pagarinātu vadītāja apliecību?
Vakar vakarā mēs pastaigājāmies gar upi līdz vecajam tiltam.
Dzīvokļa īpašnieks nevēlas labot apkuri, kaut gan ārā ir ļoti auksts.`,
	"lt": `Traukinys į Klaipėdą šiandien, deja, išvyks pusvalandžiu vėliau.
Ar gali apibendrinti šią ataskaitą trimis trumpais sakiniais mano viršininkui?
Kokių dokumentų man reikia, jei noriu pratęsti vairuotojo pažymėjimą?
Vakar vakare vaikščiojome palei upę iki pat senojo tilto.
Buto savininkas nenori taisyti šildymo, nors lauke labai šalta.`,
	"ca": `El tren cap a Girona surt avui malauradament amb mitja hora de retard.
Pots resumir aquest informe en tres frases curtes per al meu cap?
Quins documents he de portar a l'ajuntament per canviar l'adreça?
Ahir al vespre vam caminar vora el riu fins al pont vell.
El propietari del pis no vol arreglar la calefacció tot i que fa molt fred.`,
	"sw": `Treni ya kwenda Mombasa leo itachelewa kwa nusu saa kwa bahati mbaya.
Je, unaweza kufupisha ripoti hii katika sentensi tatu fupi kwa bosi wangu?
Ninahitaji hati gani ili kupata leseni mpya ya kuendesha gari?
Jana jioni tulitembea kando ya mto hadi kwenye daraja la zamani.
Mwenye nyumba hataki kutengeneza mfumo wa joto ingawa kuna baridi sana.`,
	"af": `Die trein na Bloemfontein vertrek vandag ongelukkig 'n halfuur later.
Kan jy hierdie verslag vir my baas in drie kort sinne opsom?
Watter dokumente het ek nodig as ek my rybewys wil hernu?
Gisteraand het ons langs die rivier tot by die ou brug gestap.
My verhuurder weier om die verwarming reg te maak al is dit baie koud.`,
	"tl": `Ang tren papuntang Naga ay aalis ngayon nang kalahating oras na huli.
Pwede mo bang ibuod ang ulat na ito sa tatlong maikling pangungusap para sa amo ko?
Anong mga papeles ang kailangan ko para mapalitan ang lisensya ko?
Kagabi ay naglakad kami sa tabi ng ilog hanggang sa lumang tulay.
Ayaw ayusin ng may-ari ng bahay ang pampainit kahit sobrang lamig.`,
	"ru": `Поезд до Казани сегодня, к сожалению, отправится на полчаса позже.
Ты не могла бы кратко пересказать этот отчёт для моего начальника?
Какие документы нужны, чтобы продлить водительские права?
Вчера вечером мы гуляли вдоль реки до старого моста.
Хозяин квартиры отказывается чинить отопление, хотя на улице мороз.`,
	"uk": `Потяг до Львова сьогодні, на жаль, вирушить на пів години пізніше.
Чи могла б ти стисло переказати цей звіт для мого начальника?
Які документи потрібні, щоб продовжити водійське посвідчення?
Учора ввечері ми гуляли вздовж річки до старого мосту.
Господар квартири відмовляється лагодити опалення, хоча надворі мороз.`,
	"bg": `Влакът за Пловдив днес за съжаление ще тръгне с половин час закъснение.
Можеш ли да обобщиш този доклад в три кратки изречения за шефа ми?
Какви документи са ми нужни, за да подновя шофьорската си книжка?
Снощи се разхождахме край реката чак до стария мост.
Собственикът на апартамента отказва да поправи парното, въпреки че е студено.`,
	"sr": `Воз за Нови Сад данас нажалост креће са пола сата закашњења.
Можеш ли да сажмеш овај извештај у три кратке реченице за мог шефа?
Која су ми документа потребна да бих продужио возачку дозволу?
Синоћ смо шетали поред реке све до старог моста.
Власник стана неће да поправи грејање иако је напољу веома хладно.`,
	"ar": `القطار المتجه إلى الإسكندرية سيتأخر اليوم نصف ساعة للأسف.
هل يمكنك تلخيص هذا التقرير في ثلاث جمل قصيرة لمديري؟
ما هي الوثائق التي أحتاجها لتجديد رخصة القيادة؟
مشينا مساء أمس على طول النهر حتى وصلنا إلى الجسر القديم.
يرفض صاحب الشقة إصلاح التدفئة مع أن الجو بارد جدا.`,
	"fa": `متأسفانه قطار شیراز امروز با نیم ساعت تأخیر حرکت می~کند.
می~توانی این گزارش را برای رئیسم در سه جمله کوتاه خلاصه کنی؟
برای تمدید گواهینامه رانندگی چه مدارکی لازم دارم؟
دیشب در کنار رودخانه تا پل قدیمی قدم زدیم.
صاحب خانه حاضر نیست شوفاژ را تعمیر کند با اینکه هوا خیلی سرد است.`,
	"ur": `لاہور جانے والی ریل گاڑی آج بدقسمتی سے آدھا گھنٹہ دیر سے روانہ ہوگی۔
کیا آپ میرے افسر کے لیے اس رپورٹ کا تین جملوں میں خلاصہ کر سکتے ہیں؟
ڈرائیونگ لائسنس کی تجدید کے لیے مجھے کن دستاویزات کی ضرورت ہے؟
کل شام ہم دریا کے کنارے پرانے پل تک ٹہلتے رہے۔`,
	"hi": `लखनऊ जाने वाली गाड़ी आज दुर्भाग्य से आधा घंटा देर से चलेगी।
क्या आप मेरे अधिकारी के लिए इस रिपोर्ट का तीन वाक्यों में सारांश दे सकते हैं?
ड्राइविंग लाइसेंस का नवीनीकरण कराने के लिए मुझे कौन से कागज़ चाहिए?
कल शाम हम नदी के किनारे पुराने पुल तक टहलते रहे।`,
	"el": `Το τρένο για τη Θεσσαλονίκη θα φύγει σήμερα με μισή ώρα καθυστέρηση.
Μπορείς να συνοψίσεις αυτή την αναφορά σε τρεις σύντομες προτάσεις;`,
	"he": `הרכבת לחיפה תצא היום לצערנו באיחור של חצי שעה בגלל עבודות במסילה.
אילו מסמכים אני צריך כדי לחדש את רישיון הנהיגה שלי?`,
	"th": `วันนี้รถไฟไปเชียงใหม่จะออกช้าไปครึ่งชั่วโมง
ช่วยสรุปรายงานนี้เป็นสามประโยคสั้น ๆ ให้หัวหน้าของฉันได้ไหม`,
	"zh": `开往南京的火车今天很遗憾要晚点半个小时，请各位旅客耐心等候。
你能不能把这份报告用三句话总结一下，好让我转给我的老板看？`,
	"ja": `京都行きの電車は残念ながら本日三十分ほど遅れて出発いたします。
この報告書を上司のために三つの短い文でまとめてもらえますか。`,
	"ko": `부산으로 가는 기차가 오늘은 안타깝게도 삼십 분 늦게 출발합니다.
이 보고서를 제 상사를 위해 짧은 문장 세 개로 요약해 주시겠어요?`,
}

// later were written when the lexicon was whole.
var later = map[string]string{
	"en": `The goats broke through the fence and ate most of our tomatoes.
Which licence lets me use this library in a commercial product?`,
	"de": `Die Ziegen sind durch den Zaun gebrochen und haben unsere Tomaten gefressen.
Unter welcher Lizenz darf man diese Bibliothek kommerziell einsetzen?`,
	"fr": `Les chèvres ont franchi la clôture et ont mangé presque toutes nos tomates.
Sous quelle licence peut-on utiliser cette bibliothèque dans un produit payant ?`,
	"es": `Las cabras rompieron la valla y se comieron casi todos nuestros tomates.
¿Con qué licencia se puede usar esta biblioteca en un producto comercial?`,
	"pt": `As cabras atravessaram a cerca e comeram quase todos os nossos tomates.
Com que licença se pode usar esta biblioteca num produto comercial?`,
	"it": `Le capre hanno sfondato il recinto e mangiato quasi tutti i nostri pomodori.
Con quale licenza si può usare questa libreria in un prodotto commerciale?`,
	"nl": `De geiten braken door het hek en vraten bijna al onze tomaten op.
Onder welke licentie mag ik deze bibliotheek commercieel gebruiken?`,
	"sv": `Getterna bröt sig genom staketet och åt upp nästan alla våra tomater.
Vilken licens låter mig använda det här biblioteket i en kommersiell produkt?`,
	"da": `Gederne brød gennem hegnet og åd næsten alle vores tomater.
Hvilken licens lader mig bruge dette bibliotek i et kommercielt produkt?`,
	"no": `Geitene brøt seg gjennom gjerdet og spiste nesten alle tomatene våre.
Hvilken lisens lar meg bruke dette biblioteket i et kommersielt produkt?`,
	"fi": `Vuohet murtautuivat aidan läpi ja söivät melkein kaikki tomaattimme.
Millä lisenssillä tätä kirjastoa saa käyttää kaupallisessa tuotteessa?`,
	"pl": `Kozy przedarły się przez płot i zjadły prawie wszystkie nasze pomidory.
Na jakiej licencji można użyć tej biblioteki w produkcie komercyjnym?`,
	"cs": `Kozy prorazily plot a sežraly nám skoro všechna rajčata.
Pod jakou licencí smím tuto knihovnu použít v komerčním produktu?`,
	"sk": `Kozy prerazili plot a zožrali nám skoro všetky paradajky.
Pod akou licenciou smiem túto knižnicu použiť v komerčnom produkte?`,
	"hu": `A kecskék áttörték a kerítést, és megették szinte az összes paradicsomunkat.
Milyen licenccel használhatom ezt a könyvtárat egy kereskedelmi termékben?`,
	"ro": `Caprele au rupt gardul și ne-au mâncat aproape toate roșiile.
Sub ce licență pot folosi această bibliotecă într-un produs comercial?`,
	"tr": `Keçiler çiti kırıp domateslerimizin neredeyse hepsini yedi.
Bu kütüphaneyi ticari bir üründe hangi lisansla kullanabilirim?`,
	"vi": `Đàn dê phá hàng rào và ăn gần hết cà chua của chúng tôi.
Giấy phép nào cho phép tôi dùng thư viện này trong sản phẩm thương mại?`,
	"id": `Kambing-kambing itu menerobos pagar dan memakan hampir semua tomat kami.
Lisensi mana yang membolehkan saya memakai pustaka ini dalam produk komersial?`,
	"hr": `Koze su probile ogradu i pojele gotovo sve naše rajčice.
Pod kojom licencom smijem koristiti ovu biblioteku u komercijalnom proizvodu?`,
	"sl": `Koze so podrle ograjo in pojedle skoraj vse naše paradižnike.
Pod katero licenco smem to knjižnico uporabiti v komercialnem izdelku?`,
	"et": `Kitsed murdsid aiast läbi ja sõid peaaegu kõik meie tomatid ära.
Millise litsentsiga tohib seda teeki kasutada äritootes?`,
	"lv": `Kazas izlauzās cauri žogam un apēda gandrīz visus mūsu tomātus.
Ar kādu licenci drīkst izmantot šo bibliotēku komerciālā produktā?`,
	"lt": `Ožkos pralaužė tvorą ir suėdė beveik visus mūsų pomidorus.
Su kokia licencija šią biblioteką galima naudoti komerciniame produkte?`,
	"ca": `Les cabres van trencar la tanca i es van menjar gairebé tots els nostres tomàquets.
Amb quina llicència puc fer servir aquesta biblioteca en un producte comercial?`,
	"sw": `Mbuzi walivunja uzio na kula karibu nyanya zetu zote.
Ni leseni gani inayoniruhusu kutumia maktaba hii katika bidhaa ya biashara?`,
	"af": `Die bokke het deur die heining gebreek en amper al ons tamaties gevreet.
Onder watter lisensie mag ek hierdie biblioteek kommersieel gebruik?`,
	"tl": `Sinira ng mga kambing ang bakod at kinain ang halos lahat ng kamatis namin.
Anong lisensya ang nagpapahintulot sa akin na gamitin ang librarying ito?`,
	"ru": `Козы прорвались через забор и съели почти все наши помидоры.
По какой лицензии эту библиотеку можно использовать в платном продукте?`,
	"uk": `Кози прорвалися крізь паркан і з'їли майже всі наші помідори.
За якою ліцензією цю бібліотеку можна використати в платному продукті?`,
	"bg": `Козите пробиха оградата и изядоха почти всичките ни домати.
С какъв лиценз мога да ползвам тази библиотека в търговски продукт?`,
	"sr": `Козе су пробиле ограду и појеле скоро сав наш парадајз.
Под којом лиценцом смем да користим ову библиотеку у комерцијалном производу?`,
	"ar": `كسرت الماعز السياج وأكلت كل طماطمنا تقريبا.
تحت أي رخصة يمكنني استخدام هذه المكتبة في منتج تجاري؟`,
	"fa": `بزها حصار را شکستند و تقریبا همه گوجه~های ما را خوردند.
با چه مجوزی می~توانم از این کتابخانه در محصول تجاری استفاده کنم؟`,
	"hi": `बकरियों ने बाड़ तोड़ दी और हमारे लगभग सारे टमाटर खा लिए।
किस लाइसेंस के तहत मैं इस लाइब्रेरी को व्यावसायिक उत्पाद में लगा सकता हूँ?`,
}

func TestLanguage(t *testing.T) {
	for _, set := range []map[string]string{sentences, later} {
		told(t, set)
	}
}

// told measures how many of the sentences are told right.
func told(t *testing.T, sentences map[string]string) {
	right, all, tongues := 0, 0, 0
	for want, text := range sentences {
		tongues++
		for s := range strings.Lines(text) {
			s = strings.ReplaceAll(strings.TrimSpace(s), "~", "\u200c") // as Persian has it within words
			all++
			if got, sure := Language(s); got == want {
				right++
			} else {
				t.Logf("%s as %q (%.2f): %s", want, got, sure, s)
			}
		}
	}
	accuracy := float64(right) / float64(all)
	t.Logf("%d languages, %d of %d sentences: %.3f", tongues, right, all, accuracy)
	if accuracy < 0.94 || tongues < 15 {
		t.Errorf("accuracy %.3f in %d languages", accuracy, tongues)
	}
}

// TestNoLanguage: what is short, or no language, has none.
func TestNoLanguage(t *testing.T) {
	for _, s := range []string{"", "hello there", "12345 67890 12345 67890 12345", "!!! ??? ...", "你好",
		"```python\nfor item in items:\n    print(item)\n```",
		"func main() {\n\tfmt.Println(\"the answer is\", 42)\n\treturn\n}",
		"SELECT name, age FROM users WHERE age > 30 AND name LIKE 'A%';",
		"https://example.com/this/is/the/way/to/the/page.html",
		"{\"name\": \"value\", \"list\": [1, 2, 3], \"other\": {\"is\": true}}",
		"qwrtplk zxcvbn mnbvcxz lkjhgf poiuzt qwertz sdfghj yxcvb",
		"a3f9c2d47b1e8f60a3f9c2d47b1e8f60a3f9c2d47b1e8f60",
	} {
		if got, sure := Language(s); got != "" {
			t.Errorf("%q: %s (%.2f)", s, got, sure)
		}
	}
	text := "Bitte erkläre mir, was dieses Programm macht:\n```\nfor the in range(10): print(the)\nif not this and that or these: return with_the\n```\n"
	if got, _ := Language(text); got != "de" {
		t.Errorf("a question with code: %q", got)
	}
}

func FuzzLanguage(f *testing.F) {
	for _, text := range sentences {
		f.Add(text)
	}
	f.Add("```\nx\n``` \xff\xfe ` `` :// http://")
	f.Fuzz(func(t *testing.T, text string) {
		code, sure := Language(text)
		if sure < 0 || sure > 1 || code != "" && !Knows(code) {
			t.Fatalf("%q %v", code, sure)
		}
		if n := TokensOf(text); n.Expected < 0 || n.Most < n.Expected || n.Most > int64(len(text)) {
			t.Fatalf("%d bytes: %v tokens", len(text), n)
		}
	})
}
